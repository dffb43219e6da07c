"""What the daily DAG trains: a challenger of the bundle that serves now."""

from pathlib import Path

from features.release import current_release, open_registry
from features.settings import Settings
from training.run import train_and_judge
from training.settings import TrainingSettings


def train_challenger(
    model: str, day: str, *, settings: Settings | None = None, training: TrainingSettings | None = None
) -> str:
    """Train ``model`` on everything before the UTC ``day``, judge it on that day, and return its path.

    Its settings are those of ``FACET_TRAIN_SET``.

    Raises:
        GateRefusedError: the bundle must not be released; the text says why.
    """
    settings, training = settings or Settings(), training or TrainingSettings()
    bundle = train_and_judge(
        model,
        day,
        settings=settings,
        champion=find_champion(model, settings),
        overrides=training.train_set.get(model, ()),
        training=training,
    )
    return str(bundle)


def find_champion(model: str, settings: Settings) -> Path | None:
    """The bundle of ``model`` in the live release, or ``None``: the gate then compares with popularity."""
    release = current_release(open_registry(settings))
    if release is None:
        return None
    names = {name for name in release.bundles.values() if name.split("/")[0] == model}
    return settings.bundles / names.pop() if names else None
