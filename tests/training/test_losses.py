"""Sampled softmax through the assigned interest, on numbers that can be worked out on paper."""

import math

import pytest
import torch
from torch import Tensor

from training.losses import (
    Candidates,
    LossShape,
    TargetLosses,
    Targets,
    accidental_hits,
    presence_loss,
    sampled_softmax,
    sigmoid_focal,
)

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def found(
    interests: Tensor,
    targets: list[list[float]],
    negatives: list[list[float]],
    *,
    log_q: list[float] | None = None,
    own: list[bool] | None = None,
    **shape: object,
) -> TargetLosses:
    """Losses of targets that all belong to the first query."""
    nobody = torch.zeros(len(targets), dtype=torch.int64)
    own_rows = torch.zeros(len(interests), len(negatives), dtype=torch.bool)
    own_rows[0] = torch.tensor(own or [False] * len(negatives))
    return sampled_softmax(
        interests,
        Targets(torch.tensor(targets), nobody, nobody),
        Candidates(torch.tensor(negatives), torch.tensor(log_q or [0.0] * len(negatives)), own_rows),
        LossShape(**shape),  # type: ignore[arg-type]
    )


def loss_of(
    interests: Tensor, target: list[float], negatives: list[list[float]], **options: object
) -> Tensor:
    """Loss of one target."""
    return found(interests, [target], negatives, **options).losses  # type: ignore[arg-type]


def test_target_and_negatives_are_scored_with_the_interest_nearest_to_the_target() -> None:
    interests = torch.tensor([[EAST, [0.0, 0.5]]])  # (Q=1, K=2, D=2)
    # The target (1, 0) is nearest to interest 0. Scores with it: target 1, negatives 0 and -1.
    expected = math.log(math.e + 1 + math.exp(-1)) - 1
    assert loss_of(interests, EAST, [NORTH, WEST]).item() == pytest.approx(expected)


def test_a_popular_negative_counts_less() -> None:
    interests = torch.tensor([[EAST]])
    # Both negatives score 0; one was expected twice as often as the other: exp(0 - log 2) = 1/2.
    expected = math.log(math.e + 1 / 2 + 1) - 1
    loss = loss_of(interests, EAST, [NORTH, NORTH], log_q=[math.log(2), 0.0])
    assert loss.item() == pytest.approx(expected)


def test_the_target_itself_is_not_corrected_so_that_all_videos_give_the_full_softmax() -> None:
    interests, videos = torch.tensor([[[0.6, 0.8]]]), torch.tensor([EAST, NORTH, WEST])
    own = [True, False, False]  # the target is among "all videos"
    full = torch.nn.functional.cross_entropy(videos @ interests[0, 0], torch.tensor(0))
    assert loss_of(interests, EAST, videos.tolist(), own=own).item() == pytest.approx(full.item())


@pytest.mark.parametrize("assignment", ["hard", "one_to_one"])
def test_gradient_reaches_the_best_interest_and_no_other(assignment: str) -> None:
    interests = torch.tensor([[EAST, NORTH, WEST]], requires_grad=True)
    loss_of(interests, [0.6, 0.8], [EAST, [0.0, -1.0]], assignment=assignment).sum().backward()
    assert interests.grad is not None
    changed = interests.grad[0].abs().sum(dim=1) > 0
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("assignment", ["hard", "one_to_one"])
def test_many_targets_cost_the_same_as_each_alone(assignment: str) -> None:
    torch.manual_seed(0)
    interests, targets = torch.randn(1, 2, 4), torch.randn(2, 4)
    negatives = torch.randn(5, 4).tolist()
    # Two targets and two interests take the other way through the sums as ten targets of one interest each.
    alone = [loss_of(interests, t, negatives).item() for t in targets.tolist()]
    many = found(interests, targets.repeat(5, 1).tolist(), negatives).losses
    assert many.tolist() == pytest.approx(alone * 5, rel=1e-5)
    if assignment == "one_to_one":
        paired = found(interests, targets.repeat(5, 1).tolist(), negatives, assignment=assignment)
        assert (paired.losses > 0).sum() == 2


def test_the_loss_names_the_interest_that_each_target_activates() -> None:
    weights = found(torch.tensor([[EAST, NORTH]]), [NORTH, EAST, NORTH], [[0.0, 0.0]]).weights
    assert weights.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]


def test_label_aware_attention_mixes_the_interests_by_their_scores() -> None:
    interests = torch.tensor([[EAST, NORTH]])
    # Scores of the target are 1 and 0; with power log 3 the weights are 3/4 and 1/4, so z = (.75, .25).
    result = found(interests, [EAST], [NORTH], assignment="label_aware", power=math.log(3))
    assert result.weights[0].tolist() == pytest.approx([0.75, 0.25])
    assert result.losses.item() == pytest.approx(math.log(math.exp(0.75) + math.exp(0.25)) - 0.75)


def test_max_readout_scores_each_negative_with_the_interest_nearest_to_it() -> None:
    interests = torch.tensor([[EAST, NORTH]], requires_grad=True)
    loss = loss_of(interests, EAST, [NORTH, WEST], assignment="max_readout")
    # North scores 1 with the second interest; west scores -1 and 0.
    assert loss.item() == pytest.approx(math.log(math.e + math.e + 1) - 1)
    loss.sum().backward()
    assert interests.grad is not None
    assert (interests.grad[0].abs().sum(dim=1) > 0).all(), "the second interest is pushed from the negative"


def test_accidental_hits_do_not_count() -> None:
    interests = torch.tensor([[EAST]])
    # The first negative is the target again and left out: only exp(0) of the second remains.
    for assignment in ("hard", "label_aware", "max_readout"):
        loss = loss_of(interests, EAST, [EAST, NORTH], own=[True, False], assignment=assignment)
        assert loss.item() == pytest.approx(math.log(math.e + 1) - 1)


def test_any_target_of_the_user_is_an_accidental_hit_for_this_user_only() -> None:
    # User 0 hides the videos 3 and 7, user 1 hides 5; negatives are 3, 5, 6.
    own = accidental_hits(torch.tensor([3, 7, 5]), torch.tensor([0, 0, 1]), torch.tensor([3, 5, 6]), 2)
    assert own.tolist() == [[True, False, False], [False, True, False]]


def test_temperature_sharpens_the_softmax() -> None:
    expected = math.log(math.exp(1 / 0.1) + 2) - 1 / 0.1
    loss = loss_of(torch.tensor([[EAST]]), EAST, [NORTH, NORTH], temperature=0.1)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_each_target_is_scored_with_the_interests_of_its_own_query_and_the_hits_of_its_own_user() -> None:
    interests = torch.tensor([[EAST], [NORTH], [EAST]])  # user 0 has the queries 0 and 1, user 1 the query 2
    own = torch.tensor([[True, False], [False, False]])
    losses = sampled_softmax(
        interests,
        Targets(torch.tensor([NORTH, EAST]), torch.tensor([1, 2]), torch.tensor([0, 1])),
        Candidates(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.zeros(2), own),
        LossShape(),
    ).losses
    # Both score 1; one negative of user 0 is masked, none of user 1.
    assert losses.tolist() == pytest.approx([math.log(math.e + 1) - 1, math.log(math.e + 2) - 1])


def test_all_negatives_masked_leaves_no_loss_and_no_nan() -> None:
    assert loss_of(torch.tensor([[EAST]]), EAST, [EAST, NORTH], own=[True, True]).item() == 0.0


def test_focal_loss_lowers_what_is_easy() -> None:
    plain = loss_of(torch.tensor([[EAST]]), EAST, [NORTH])
    probability = math.e / (math.e + 1)
    focal = loss_of(torch.tensor([[EAST]]), EAST, [NORTH], focal_gamma=2.0)
    assert focal.item() == pytest.approx((1 - probability) ** 2 * plain.item(), rel=1e-5)


def test_label_smoothing_spreads_a_share_over_the_catalogue() -> None:
    loss = loss_of(torch.tensor([[EAST]]), EAST, [NORTH, WEST], label_smoothing=0.1)
    total = math.log(math.e + 1 + math.exp(-1))
    # The catalogue's mean logit is (0 - 1) / 2.
    assert loss.item() == pytest.approx(0.9 * (total - 1) + 0.1 * (total + 0.5), rel=1e-5)


def test_hard_negatives_weigh_more_and_the_average_weight_stays_one() -> None:
    interests = torch.tensor([[EAST]])
    # Scores 0 and -1 with beta = log 2: weights 1 and 1/2, scaled to add up to 2: 4/3 and 2/3.
    loss = loss_of(interests, EAST, [NORTH, WEST], hard_beta=math.log(2))
    expected = math.log(math.e + 4 / 3 + 2 / 3 * math.exp(-1)) - 1
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_presence_is_asked_of_queries_with_targets_only() -> None:
    logits = torch.tensor([[0.0, 0.0], [50.0, 50.0]])
    weights = torch.tensor([[1.0, 0.0]])
    # Query 0: one interest present, one not, both at probability 1/2; query 1 has no target.
    loss = presence_loss(logits, weights, torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(2))


def focal_loss_of(
    interests: Tensor, target: list[float], negatives: list[list[float]], log_q: list[float],
    own: list[bool], **shape: object,
) -> Tensor:  # fmt: skip
    """Sigmoid focal loss of one target of the only user."""
    nobody = torch.zeros(1, dtype=torch.int64)
    return sigmoid_focal(
        interests,
        Targets(torch.tensor([target]), nobody, nobody),
        Candidates(torch.tensor(negatives), torch.tensor(log_q), torch.tensor([own])),
        LossShape(**shape),  # type: ignore[arg-type]
    ).losses


def test_sigmoid_focal_loss_asks_target_and_negatives_one_by_one() -> None:
    # Scores 1/2 and -1/2 at temperature 1 / (2 log 3) are logits of +-log 3: p = 3/4 and 1/4.
    half, minus, temperature = [0.5, 0.0], [-0.5, 0.0], 1 / (2 * math.log(3))
    # Expected once and three times: importance 1 and 1/3, scaled to 3/4 and 1/4. The third is a hit.
    loss = focal_loss_of(
        torch.tensor([[EAST]]), half, [half, minus, EAST], [0.0, math.log(3), 0.0], [False, False, True],
        temperature=temperature, focal_gamma=2.0, focal_alpha=0.2,
    )  # fmt: skip
    target = -(0.25**2) * math.log(0.75)  # (1 - 3/4)^2
    near, far = -(0.75**2) * math.log(0.25), -(0.25**2) * math.log(0.75)  # p^2 log(1 - p)
    assert loss.item() == pytest.approx(0.2 * target + 0.8 * (3 / 4 * near + 1 / 4 * far), rel=1e-5)


def test_sigmoid_focal_loss_without_gamma_is_cross_entropy_of_the_nearest_interests() -> None:
    interests = torch.tensor([[EAST, NORTH]])
    loss = focal_loss_of(interests, EAST, [NORTH], [0.0], [False], assignment="max_readout")
    # Target and negative both score 1, each with an interest of its own.
    yes, no = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    assert loss.item() == pytest.approx((yes + no) / 2)
    loss = focal_loss_of(interests, EAST, [NORTH], [0.0], [False], assignment="hard")
    assert loss.item() == pytest.approx((yes + math.log(2)) / 2), "the negative scores 0 with the first"


def test_sigmoid_focal_loss_without_any_negative_left_is_the_targets_alone() -> None:
    loss = focal_loss_of(torch.tensor([[EAST]]), EAST, [EAST], [0.0], [True])
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)) / 2)
