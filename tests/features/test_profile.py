"""Attributes of users as rows, on users that can be counted by eye."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from features.errors import BadInputError
from features.history import History
from features.profile import TOKENS_SQL, ProfileVocabulary, tokens_of
from features.schema import SCHEMAS, USERS
from features.user_features import UserFeatures

TOKENS = pa.array(
    [["age=young", "city=a"], ["age=young", "city=b"], ["age=old"], None, ["age=old", "city=a"]],
    pa.list_(pa.string()),
)


def test_rows_are_numbered_by_name_and_value_and_what_is_unknown_has_row_0() -> None:
    vocabulary = ProfileVocabulary.of(TOKENS, ("age", "city"), min_users=1)
    assert vocabulary.names == ("age", "city")
    assert vocabulary.num_rows == 5  # old, young, a, b behind row 0
    assert vocabulary.rows_of(TOKENS).tolist() == [[2, 3], [2, 4], [1, 0], [0, 0], [1, 3]]
    assert vocabulary.rows_of_user(["city=b", "age=ancient", "pet=dog"]).tolist() == [[0, 4]]
    assert vocabulary.rows_of_user([]).tolist() == [[0, 0]]


def test_values_of_few_users_have_no_row() -> None:
    vocabulary = ProfileVocabulary.of(TOKENS, ("all",), min_users=2)
    assert vocabulary.rows_of_user(["city=b"]).tolist() == [[0, 0]]
    assert vocabulary.rows_of_user(["city=a"]).tolist() == [[0, 3]]


def test_all_means_every_name_and_an_unknown_name_is_refused_with_those_there_are() -> None:
    assert ProfileVocabulary.of(TOKENS, ("all",), min_users=1).names == ("age", "city")
    assert ProfileVocabulary.of(TOKENS, ("city",), min_users=1).names == ("city",)
    with pytest.raises(BadInputError, match=r"\['pet'\]; there are \['age', 'city'\]"):
        ProfileVocabulary.of(TOKENS, ("age", "pet"), min_users=1)


def test_a_stored_vocabulary_gives_the_same_rows() -> None:
    vocabulary = ProfileVocabulary.of(TOKENS, ("all",), min_users=1)
    shuffled = vocabulary.to_table().take([3, 0, 2, 1])
    np.testing.assert_array_equal(
        ProfileVocabulary.from_table(shuffled).rows_of(TOKENS), vocabulary.rows_of(TOKENS)
    )


@pytest.mark.parametrize(
    ("segment", "profile"), [("new", ["age=old", "city=a"]), (None, ["age=old"]), ("new", None), (None, None)]
)
def test_a_user_has_the_same_tokens_online_and_in_the_lake(
    segment: str | None, profile: list[str] | None
) -> None:
    row = {"user_id": 1, "segment": segment, "profile": profile}
    connection = duckdb.connect()
    connection.register("users", pa.Table.from_pylist([row], schema=SCHEMAS[USERS]))
    ((offline,),) = connection.sql(f"SELECT {TOKENS_SQL} FROM users").fetchall()
    online = UserFeatures(
        1, History((), (), ()), np.empty(0, np.int64), segment=segment, profile=profile or []
    )
    assert tokens_of(online) == offline
