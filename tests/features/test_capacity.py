"""Which interests stay."""

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import ACTIVATION_SCHEMA
from features.capacity import ActivationTable, Capacity, count_positives, keep_active
from features.positives import Action

ACTIVATION = np.array([[0.90, 0.06, 0.04], [0.5, 0.25, 0.25], [0.0, 0.0, 0.0]])


def test_shares_below_the_threshold_are_pruned_and_no_activation_prunes_nothing() -> None:
    assert keep_active(ACTIVATION, Capacity(min_share=0.05)).tolist() == [
        [True, True, False],
        [True, True, True],
        [True, True, True],
    ]
    assert keep_active(ACTIVATION[:2], Capacity(min_share=0.3)).tolist() == [[True, False, False]] * 2


def test_the_most_activated_interest_always_stays() -> None:
    assert keep_active(ACTIVATION[:1], Capacity(min_share=1.0)).tolist() == [[True, False, False]]
    assert keep_active(np.array([[0.5, 0.5]]), Capacity(min_share=0.9)).any()


def test_counts_are_shares_too() -> None:
    assert keep_active(np.array([[30.0, 1.0]]), Capacity(min_share=0.05)).tolist() == [[True, False]]


def test_log2_keeps_the_most_activated_by_the_length_of_the_history() -> None:
    # log2 of 1, 5 and 8 positives: 0 (at least one stays), 2, 3.
    activation = np.array([[0.2, 0.5, 0.3]] * 3)
    kept = keep_active(activation, Capacity(rule="log2"), np.array([1, 5, 8]))
    assert kept.tolist() == [[False, True, False], [False, True, True], [True, True, True]]
    with pytest.raises(ValueError, match="needs the number of positives"):
        keep_active(activation, Capacity(rule="log2"))


def test_all_prunes_nothing() -> None:
    assert keep_active(ACTIVATION, Capacity(rule="all")).all()


def test_the_record_is_found_by_user_and_strangers_have_none() -> None:
    rows = [(5, 1, 2.0), (9, 0, 1.0), (9, 2, 0.5)]
    table = pa.Table.from_pylist(
        [{"user_id": u, "interest": k, "activation": a} for u, k, a in rows], schema=ACTIVATION_SCHEMA
    )
    counts, known = ActivationTable(table, 3).lookup(np.array([9, 7, 5, 99]))
    assert known.tolist() == [True, False, True, False]
    assert counts.tolist() == [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]


def test_positives_of_known_videos_are_counted() -> None:
    rows, positive = np.array([[0, 3, 4, 5]]), int(Action.POSITIVE)
    assert count_positives(rows, np.array([[positive, positive, 0, positive | 2]])).tolist() == [2]
