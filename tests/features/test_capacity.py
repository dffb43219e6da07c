"""Which interests stay."""

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from features.bundle import ACTIVATION_SCHEMA
from features.capacity import ActivationTable, Capacity, Pruner, count_positives
from features.positives import Action

EVEN = np.array([1 / 3, 1 / 3, 1 / 3])
APART = np.eye(3, dtype=np.float32)[None]


def _kept(
    activation: list[float],
    num_positives: int,
    capacity: Capacity,
    *,
    prior: np.ndarray = EVEN,
    interests: np.ndarray = APART,
    record: ActivationTable | None = None,
    user_id: int = 1,
) -> list[bool]:
    kept: Bool[np.ndarray, "B K"] = Pruner(prior, capacity, record).keep(
        np.array([user_id]), interests, np.array([activation], dtype=np.float32), np.array([num_positives])
    )
    return list(kept[0].tolist())


def test_shares_below_the_threshold_are_pruned() -> None:
    capacity = Capacity(min_share=0.3, prior_strength=1e-9)  # of 1/3: a tenth of the activations
    assert _kept([0.90, 0.06, 0.04], 100, capacity) == [True, False, False]
    assert _kept([0.58, 0.30, 0.12], 100, capacity) == [True, True, True]


def test_few_positives_prune_nothing() -> None:
    # 1 positive: (0 + 16/3) / 17 = .31; 64 of them: (0 + 16/3) / 80 = .067; the bound is .6/3 = .2.
    capacity = Capacity(prior_strength=16)
    assert _kept([1.0, 0.0, 0.0], 1, capacity) == [True, True, True]
    assert _kept([1.0, 0.0, 0.0], 64, capacity) == [True, False, False]


def test_a_user_without_positives_gets_what_everybody_uses() -> None:
    prior = np.array([0.1, 0.45, 0.45])  # the bound is .2
    capacity = Capacity(prior_strength=16)
    assert _kept([0.0, 0.0, 0.0], 0, capacity, prior=prior) == [False, True, True]
    # Five positives of the rare interest: (5 + 1.6) / 21 = .31.
    assert _kept([1.0, 0.0, 0.0], 5, capacity, prior=prior) == [True, True, True]


def test_the_most_activated_interest_always_stays() -> None:
    assert _kept([0.1, 0.8, 0.1], 10, Capacity(min_share=3)) == [False, True, False]
    assert sum(_kept([0.5, 0.5, 0.0], 10, Capacity(min_share=3))) == 1


def test_log2_keeps_the_most_activated_by_the_length_of_the_history() -> None:
    # log2 of 1, 5 and 8 positives: 0 (at least one stays), 2, 3.
    kept = [_kept([0.2, 0.5, 0.3], n, Capacity(rule="log2")) for n in (1, 5, 8)]
    assert kept == [[False, True, False], [False, True, True], [True, True, True]]


def test_a_copy_of_a_more_activated_interest_goes() -> None:
    copies = np.array([[[0, 2], [1, 0], [0, 1]]], dtype=np.float32)
    for rule in ("share", "log2"):
        kept = _kept([0.4, 0.0, 0.6], 8, Capacity(rule=rule), interests=copies)
        assert kept == [False, True, True]


def test_all_prunes_nothing() -> None:
    assert _kept([0.9, 0.06, 0.04], 1000, Capacity(rule="all")) == [True, True, True]


def test_the_record_counts_where_there_is_one() -> None:
    table = _table([(5, 0, 100.0)])
    capacity = Capacity(use_record=True)
    assert _kept([0.0, 0.5, 0.5], 2, capacity, record=table, user_id=5) == [True, False, False]
    assert _kept([0.0, 0.5, 0.5], 2, capacity, record=table, user_id=6) == [True, True, True]
    assert _kept([0.0, 0.5, 0.5], 2, Capacity(), record=table, user_id=5) == [True, True, True]


def test_the_record_is_found_by_user_and_strangers_have_none() -> None:
    table = _table([(5, 1, 2.0), (9, 0, 1.0), (9, 2, 0.5)])
    counts, known = table.lookup(np.array([9, 7, 5, 99]))
    assert known.tolist() == [True, False, True, False]
    assert counts.tolist() == [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]


def test_shares_of_all_users_are_even_without_a_record() -> None:
    np.testing.assert_allclose(_table([(5, 1, 2.0), (9, 0, 1.0), (9, 1, 1.0)]).shares(), [0.25, 0.75, 0])
    np.testing.assert_allclose(_table([]).shares(), EVEN)


def test_positives_of_known_videos_are_counted() -> None:
    rows, positive = np.array([[0, 3, 4, 5]]), int(Action.POSITIVE)
    assert count_positives(rows, np.array([[positive, positive, 0, positive | 2]])).tolist() == [2]


def _table(rows: list[tuple[int, int, float]]) -> ActivationTable:
    dicts = [{"user_id": u, "interest": k, "activation": a} for u, k, a in rows]
    return ActivationTable(pa.Table.from_pylist(dicts, schema=ACTIVATION_SCHEMA), 3)


def test_a_verdict_tells_share_bound_and_copies() -> None:
    # Smoothed shares (9 + 1, 0 + 1, 0 + 1) / 12; the bound is .6/3. The third copies the first.
    copied = np.array([[[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]], dtype=np.float32)
    pruner = Pruner(EVEN, Capacity(prior_strength=3.0))
    activation = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    verdict = pruner.judge(np.array([1]), copied, activation, np.array([9]))
    np.testing.assert_allclose(verdict.share[0], [10 / 12, 1 / 12, 1 / 12], rtol=1e-6)
    assert pruner.min_share == 0.6 / 3
    assert verdict.is_copy[0].tolist() == [False, False, True]
    assert verdict.is_kept[0].tolist() == [True, False, False]
