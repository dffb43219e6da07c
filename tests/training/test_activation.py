"""The record of which interests training activated."""

import numpy as np
import pytest

from training.activation import ActivationRecord

USERS = np.array([3, 7, 20])


def add(record: ActivationRecord) -> None:
    """User 20 activates interest 1 with a positive and a plain play, user 3 interest 0 with a positive."""
    activated = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    record.add(np.array([20, 3]), np.array([0, 1, 0]), activated, np.array([1.0, 1.0, 0.3], np.float32))


def test_activations_are_counted_per_user_and_interest_by_weight() -> None:
    record = ActivationRecord(USERS, 2, half_life_epochs=1.0)
    add(record)
    assert record.counts.tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, pytest.approx(1.3)]]


def test_an_activation_counts_half_after_the_half_life() -> None:
    record = ActivationRecord(USERS, 2, half_life_epochs=2.0)
    add(record)
    record.fade()
    record.fade()
    add(record)
    assert record.counts[0, 0] == pytest.approx(1.5)


def test_the_table_has_a_row_per_activated_interest() -> None:
    record = ActivationRecord(USERS, 2, half_life_epochs=1.0)
    add(record)
    assert record.table().to_pylist() == [
        {"user_id": 3, "interest": 0, "activation": 1.0},
        {"user_id": 20, "interest": 1, "activation": pytest.approx(1.3)},
    ]
