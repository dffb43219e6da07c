"""Writers of users' rows and erasures keep out of each other's way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import RetryLaterError
from features.home_lock import own_home, shared_home
from features.ingest import commit, stage
from features.materialize import materialize
from features.quarantine import replay
from features.schema import WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY


def test_many_write_beside_each_other(settings: Settings) -> None:
    with shared_home(settings), shared_home(settings):
        pass
    with own_home(settings):
        pass


@pytest.mark.parametrize(
    "write",
    [
        lambda settings: stage([DAY], settings=settings),
        lambda settings: commit("stage", settings=settings),
        lambda settings: materialize([DAY], settings=settings),
        lambda settings: replay(WATCHES, DAY, Path("repaired.jsonl"), settings),
    ],
)
def test_nobody_writes_while_users_are_erased(
    settings: Settings, write: Callable[[Settings], object]
) -> None:
    with own_home(settings), pytest.raises(RetryLaterError, match="users are being erased"):
        write(settings)


def test_an_erasure_starts_alone(settings: Settings) -> None:
    with shared_home(settings), pytest.raises(RetryLaterError, match="is running"), own_home(settings):
        pass
