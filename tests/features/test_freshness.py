"""Training waits until the features hold everything that is committed."""

from features.freshness import feature_state, newest_curated_day
from features.ingest import ingest
from features.materialize import materialize
from features.schema import WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY, land, land_day, watch

NEXT_DAY = "2026-03-03"


def test_features_are_complete_until_more_is_committed_late_or_new(settings: Settings) -> None:
    assert (feature_state(settings), newest_curated_day(settings)) == (None, None)
    land_day(settings, [watch("a")])
    land_day(settings, [watch("b", day=NEXT_DAY)], day=NEXT_DAY)
    ingest([DAY], settings=settings)
    assert feature_state(settings) is None
    materialize([DAY], settings=settings)
    first = feature_state(settings)
    assert first is not None
    assert (first.day, first.is_complete) == (DAY, True)

    ingest([NEXT_DAY], settings=settings)
    behind = feature_state(settings)
    assert behind is not None
    assert (behind.day, behind.is_complete, newest_curated_day(settings)) == (DAY, False, NEXT_DAY)
    materialize([NEXT_DAY], settings=settings)

    land(settings, WATCHES, [watch("late", 3)], day=DAY, name="late.jsonl")
    ingest([DAY], settings=settings)
    late = feature_state(settings)
    assert late is not None
    assert (late.day, late.is_complete) == (NEXT_DAY, False)
    materialize([DAY], settings=settings)
    healed = feature_state(settings)
    assert healed is not None
    assert healed.is_complete
    assert healed.sources != late.sources
