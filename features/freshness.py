"""Whether the features hold all that is committed: what training waits for."""

from dataclasses import dataclass

from features.errors import BadInputError
from features.lake import Lake
from features.landed import sources_of
from features.materialize import noted_sources
from features.schema import WATCHES
from features.settings import Settings
from features.snapshots import snapshot_days


@dataclass(frozen=True, slots=True)
class FeatureState:
    """The newest features."""

    day: str
    sources: str
    """A sum over everything that they are made of, see ``features/landed.py``."""
    is_complete: bool
    """Nothing is committed that they do not hold."""


def feature_state(settings: Settings | None = None) -> FeatureState | None:
    """The newest features, or ``None`` before the first materialize."""
    settings = settings or Settings()
    noted = noted_sources(settings)
    day = max(set(noted) & set(snapshot_days(settings)), default=None)
    if day is None:
        return None
    is_complete = day == newest_curated_day(settings) and sources_of([day], settings)[day] == noted[day]
    return FeatureState(day, noted[day], is_complete)


def newest_curated_day(settings: Settings | None = None) -> str | None:
    """The newest day with curated watches, or ``None``."""
    return max(Lake(settings or Settings()).day_counts(WATCHES), default=None)


def newest_ingested_day(settings: Settings) -> str:
    """As ``newest_curated_day``, where there has to be one.

    Raises:
        BadInputError: nothing was ingested yet.
    """
    day = newest_curated_day(settings)
    if day is None:
        raise BadInputError(f"the lake in {settings.root} holds no watches; run `facet ingest` first")
    return day
