"""Negatives: how often each is drawn, and what that does to its logit."""

import math

import pytest
import torch

from training.sampling import NegativeSampler

# Row 0 is padding; rows 1..3 were watched 6, 3 and 1 times.
COUNTS = torch.tensor([99, 6, 3, 1])


def test_half_of_the_draws_are_uniform_and_half_follow_the_counts() -> None:
    sampler = NegativeSampler(COUNTS, num_draws=2, popularity_share=0.5)
    # 1/2 * 1/3 + 1/2 * count/10
    assert sampler.probability.tolist() == pytest.approx([1 / 6 + 0.3, 1 / 6 + 0.15, 1 / 6 + 0.05])


def test_a_video_that_is_never_watched_can_still_be_drawn() -> None:
    sampler = NegativeSampler(torch.tensor([0, 5, 0]), num_draws=1, popularity_share=0.9)
    assert sampler.probability[1].item() == pytest.approx(0.1 / 2)


def test_a_popular_video_is_lowered_more() -> None:
    sampler = NegativeSampler(COUNTS, num_draws=2, popularity_share=1.0)
    negatives = sampler.draw(torch.Generator().manual_seed(0))
    expected = {row: math.log(2 * count / 10) for row, count in ((1, 6), (2, 3), (3, 1))}
    for row, log_q in zip(negatives.rows.tolist(), negatives.log_q.tolist(), strict=True):
        times = 2 if len(negatives.rows) == 1 else 1
        assert log_q == pytest.approx(expected[row] - math.log(times))


def test_negatives_estimate_the_sum_over_all_videos() -> None:
    """The mean of sum exp(s - log_q) over many steps is sum exp(s) over every video."""
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0])  # row 0 is not part of the sum
    sampler = NegativeSampler(COUNTS, num_draws=2, popularity_share=0.5)
    generator = torch.Generator().manual_seed(7)
    sums = []
    for _ in range(4000):
        negatives = sampler.draw(generator)
        sums.append((scores[negatives.rows] - negatives.log_q).exp().sum())
    expected = math.exp(1) + math.exp(-1) + math.exp(2)
    assert torch.stack(sums).mean().item() == pytest.approx(expected, rel=0.03)


def test_with_as_many_draws_as_videos_every_video_comes_once_and_uncorrected() -> None:
    negatives = NegativeSampler(COUNTS, num_draws=3, popularity_share=0.5).draw(torch.Generator())
    assert negatives.rows.tolist() == [1, 2, 3]
    assert negatives.log_q.tolist() == [0.0, 0.0, 0.0]


def test_padding_is_never_drawn_and_rows_are_distinct_and_ascending() -> None:
    sampler = NegativeSampler(torch.ones(1001), num_draws=500, popularity_share=0.5)
    rows = sampler.draw(torch.Generator().manual_seed(1)).rows
    assert rows[0] >= 1
    assert (rows[1:] > rows[:-1]).all()


def test_targets_of_the_batch_are_negatives_too_and_the_sum_stays_unbiased() -> None:
    """Draws from three sources estimate sum exp(s) over all videos, whatever each source prefers."""
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0])
    target_counts = torch.tensor([0.0, 1.0, 0.0, 3.0])  # row 3 is a target three times as often as row 1
    sampler = NegativeSampler(COUNTS, 2, 0.5, target_counts)
    generator = torch.Generator().manual_seed(7)
    sums = []
    for _ in range(4000):
        batch = torch.multinomial(target_counts, 4, replacement=True, generator=generator)
        negatives = sampler.draw(generator, batch)
        sums.append((scores[negatives.rows] - negatives.log_q).exp().sum())
    expected = math.exp(1) + math.exp(-1) + math.exp(2)
    assert torch.stack(sums).mean().item() == pytest.approx(expected, rel=0.03)


def test_expected_hits_add_up_over_the_sources() -> None:
    sampler = NegativeSampler(torch.tensor([0, 6, 3, 0]), 2, 1.0, torch.tensor([0.0, 1.0, 0.0, 3.0]))
    negatives = sampler.draw(torch.Generator().manual_seed(0), torch.tensor([3, 3, 3]))
    # Row 3 was never watched, so only the batch names it: 3 targets * 3/4 expected, hit three times.
    assert negatives.rows[-1] == 3
    assert negatives.log_q[-1].item() == pytest.approx(math.log(2.25 / 3))


def test_without_draws_the_targets_of_the_batch_are_the_only_negatives() -> None:
    target_counts = torch.tensor([0.0, 1.0, 0.0, 3.0])
    sampler = NegativeSampler(COUNTS, 0, 0.5, target_counts)
    negatives = sampler.draw(torch.Generator().manual_seed(0), torch.tensor([3, 1, 3, 1]))
    assert negatives.rows.tolist() == [1, 3]
    # Of four targets, one and three were to be expected, and each row came twice.
    assert negatives.log_q.tolist() == pytest.approx([math.log(1 / 2), math.log(3 / 2)])
