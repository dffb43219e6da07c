"""Tokens of all users, for training and offline ranking; ``features/profile.py`` makes rows of them.

Shape letters: U users, B users asked for.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from features.profile import TOKENS_SQL
from features.schema import USER_ID


@dataclass(frozen=True, slots=True)
class UserProfiles:
    """``tokens[i]`` are those of ``user_ids[i]``, ascending."""

    user_ids: Int64[np.ndarray, " U"]
    tokens: pa.ListArray

    @classmethod
    def of(cls, users: pa.Table) -> "UserProfiles":
        """From a snapshot of the users."""
        connection = duckdb.connect()
        connection.register("users", users)
        rows = connection.sql(
            f"SELECT {USER_ID}, {TOKENS_SQL} AS tokens FROM users ORDER BY {USER_ID}"
        ).to_arrow_table()
        return cls(rows[USER_ID].to_numpy(), rows["tokens"].combine_chunks())

    @classmethod
    def nobody(cls) -> "UserProfiles":
        """No user has a profile."""
        return cls(np.empty(0, dtype=np.int64), pa.array([], pa.list_(pa.string())))

    def tokens_of(self, user_ids: Int64[np.ndarray, " B"]) -> pa.ListArray:
        """Tokens in the order of ``user_ids``; null for users without a profile."""
        place = np.searchsorted(self.user_ids, user_ids)
        is_known = np.append(self.user_ids, -1)[place] == user_ids
        return self.tokens.take(pa.array(place, mask=~is_known))
