"""Some users of a home, so that nobody has to know an id before looking around."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import duckdb
import pyarrow.parquet as pq

from features.bundle import ACTIVATION, ACTIVATIONS
from features.merge_config import INTERESTS
from features.release import Release, current_release, open_registry
from features.schema import USER_ID
from features.settings import Settings

PER_NUMBER: Final = 2
MAX_EXAMPLES: Final = 8
MIN_SHARE: Final = 0.1
"""Of a user's activations; an interest below it is not counted."""


@dataclass(frozen=True, slots=True)
class ExampleUser:
    """A user with a long history, and how many interests it activated in training."""

    user_id: int
    num_interests: int


def example_users(settings: Settings, release: Release) -> list[ExampleUser]:
    """The most active users of training for each number of interests, few interests first."""
    return _read(release.bundle_path(settings, INTERESTS) / ACTIVATION)


def explorer_url(settings: Settings, api: str) -> str:
    """Address of the page of an example user, or of the search where there is none yet.

    Args:
        api: any address of the API.
    """
    release = current_release(open_registry(settings))
    users = example_users(settings, release) if release else []
    path = f"/explore/{users[-1].user_id}" if users else "/explore"
    return urljoin(api, path)


@lru_cache(maxsize=2)
def _read(path: Path) -> list[ExampleUser]:
    connection = duckdb.connect()
    connection.register("activation", pq.read_table(path))
    query = f"""
        SELECT {USER_ID}, num_interests
        FROM (SELECT {USER_ID}, any_value(total) AS total,
                     count(*) FILTER ({ACTIVATIONS} >= {MIN_SHARE} * total) AS num_interests
              FROM (SELECT *, sum({ACTIVATIONS}) OVER (PARTITION BY {USER_ID}) AS total FROM activation)
              GROUP BY {USER_ID})
        QUALIFY row_number() OVER (PARTITION BY num_interests ORDER BY total DESC, {USER_ID}) <= {PER_NUMBER}
        ORDER BY num_interests, {USER_ID} LIMIT {MAX_EXAMPLES}
    """
    return [ExampleUser(*row) for row in connection.sql(query).fetchall()]
