"""A user's static attributes as rows of one small table. One definition, for training and for serving alike.

An attribute is a token ``name=value``; the segment of a user is one of them. A bundle whose network reads
profiles holds ``profile.parquet``: ``token, row``.

Shape letters: B users, P names that the bundle reads.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64

from features.bundle import Bundle
from features.errors import BadInputError
from features.schema import PAD_ROW, PROFILE, SEGMENT
from features.user_features import UserFeatures
from features.vocabulary import ROW

PROFILE_VALUES: Final = "profile.parquet"
TOKEN: Final = "token"
MIN_USERS: Final = 10
"""A value of fewer users has no row: nothing can be learned of it, and it would tell who they are."""
EVERY_NAME: Final = "all"
TOKENS_SQL: Final = (
    f"list_concat(coalesce({PROFILE}, []), "
    f"CASE WHEN {SEGMENT} IS NULL THEN [] ELSE ['{SEGMENT}=' || {SEGMENT}] END)"
)
"""SQL list of the tokens of a row of the users."""


def tokens_of(user: UserFeatures) -> list[str]:
    """The tokens of one user; the same as by ``TOKENS_SQL``."""
    return [*user.profile, *([] if user.segment is None else [f"{SEGMENT}={user.segment}"])]


class ProfileVocabulary:
    """The tokens that a network knows; their order gives the rows 1, 2, ...

    Args:
        tokens: distinct, those of one name side by side.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = pa.array(tokens, pa.string())
        names = [_name(token) for token in tokens]
        self.names = tuple(dict.fromkeys(names))
        self._places = np.array([self.names.index(name) for name in names], dtype=np.int64)

    @classmethod
    def of(
        cls, tokens: pa.ListArray, names: Sequence[str], *, min_users: int = MIN_USERS
    ) -> "ProfileVocabulary":
        """The tokens of these names that at least ``min_users`` of the users have.

        Args:
            tokens: of each user.
            names: ``("all",)`` for every name there is.

        Raises:
            BadInputError: no user has an attribute of such a name.
        """
        counted = pc.value_counts(tokens.flatten())
        counts = dict(
            zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
        )
        found = sorted({_name(token) for token in counts})
        if missing := sorted(set(names) - {*found, EVERY_NAME}):
            raise BadInputError(f"no user has the attributes {missing}; there are {found}")
        wanted = found if EVERY_NAME in names else sorted(names)
        frequent = sorted(token for token, count in counts.items() if count >= min_users)
        return cls([token for name in wanted for token in frequent if _name(token) == name])

    @property
    def num_rows(self) -> int:
        """Rows of an embedding table, row 0 included."""
        return len(self._tokens) + 1

    def rows_of(self, tokens: pa.ListArray) -> Int64[np.ndarray, "B P"]:
        """Row of each user's value of each name; 0 where it is unknown. Of two values the last counts."""
        rows = np.full((len(tokens), len(self.names)), PAD_ROW, dtype=np.int64)
        found = pc.index_in(tokens.flatten(), value_set=self._tokens)
        is_known = pc.is_valid(found).to_numpy(zero_copy_only=False)
        token = found.drop_null().to_numpy()
        users = pc.list_parent_indices(tokens).to_numpy()[is_known]
        rows[users, self._places[token]] = token + 1
        return rows

    def rows_of_user(self, tokens: Sequence[str]) -> Int64[np.ndarray, "1 P"]:
        """The same for one user."""
        return self.rows_of(pa.array([list(tokens)], pa.list_(pa.string())))

    def to_table(self) -> pa.Table:
        """The content of ``profile.parquet``."""
        return pa.table({TOKEN: self._tokens, ROW: np.arange(1, self.num_rows, dtype=np.int64)})

    @classmethod
    def from_table(cls, table: pa.Table) -> "ProfileVocabulary":
        """The inverse of ``to_table``, for rows in any order."""
        return cls(table.sort_by(ROW)[TOKEN].to_pylist())


def profile_of(bundle: Bundle) -> ProfileVocabulary | None:
    """The tokens that the extractor of a bundle reads, or ``None`` if it reads no profile."""
    if PROFILE_VALUES not in bundle.manifest.files:
        return None
    return ProfileVocabulary.from_table(pq.read_table(bundle.path / PROFILE_VALUES))


def _name(token: str) -> str:
    return token.partition("=")[0]
