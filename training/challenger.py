"""What the daily DAG trains: for each model a challenger of the bundle that serves now."""

from collections.abc import Iterable
from pathlib import Path

from features.errors import BadInputError
from features.release import current_release, open_registry
from features.settings import Settings
from features.task_metrics import recording
from training.errors import GateRefusedError
from training.models import find_model
from training.run import train_and_judge
from training.settings import TrainingSettings


def models_to_train(asked: str | None = None) -> list[str]:
    """Names of the models in ``asked``, commas between, or else in ``FACET_TRAIN_MODELS``.

    Raises:
        BadInputError: none is named, or one that there is not.
    """
    settings = TrainingSettings() if asked is None else TrainingSettings(train_models=asked)
    if not settings.models:
        raise BadInputError("no model is named; set FACET_TRAIN_MODELS to names with commas between")
    for model in settings.models:
        find_model(model)
    return settings.models


def require_passed(bundles: Iterable[str | None]) -> list[str]:
    """The bundles that passed the gate.

    Raises:
        GateRefusedError: none did.
    """
    passed = [bundle for bundle in bundles if bundle]
    if not passed:
        raise GateRefusedError("no model passed the gate; the logs of the train tasks say why")
    return passed


def train_challenger(
    model: str, day: str, *, settings: Settings | None = None, training: TrainingSettings | None = None
) -> str:
    """Train ``model`` on everything before the UTC ``day``, judge it on that day, and return its path.

    Its settings are those of ``FACET_TRAIN_SET``.

    Raises:
        GateRefusedError: the bundle must not be released; the text says why.
    """
    settings, training = settings or Settings(), training or TrainingSettings()
    with recording(f"train_{model}", settings):
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
