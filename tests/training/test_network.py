"""What every multi-interest network promises, and what its program adds."""

import numpy as np
import pytest
import torch

from features.positives import Action
from features.schema import PAD_ROW
from tests.training.networks import AGELESS, NETWORKS, NUM_ROWS, SINGLE, D, K, small_network
from training.network import Extractor, InterestNetwork
from training.tables import tables_of

POSITIVE = int(Action.POSITIVE)


@pytest.fixture(params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def network(name: str) -> InterestNetwork:
    torch.manual_seed(7)
    return small_network(name).eval()


def history(*rows: int, actions: int = POSITIVE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One user; ages fall by a day per watch."""
    video_rows = torch.tensor([rows])
    ages = torch.arange(len(rows) - 1, -1, -1).float().unsqueeze(0)
    watched = video_rows != PAD_ROW
    return video_rows, torch.where(watched, actions, 0), torch.where(watched, ages, 0.0)


def test_users_come_first_then_interests_then_dimensions(name: str, network: InterestNetwork) -> None:
    rows = torch.randint(1, NUM_ROWS, (5, 6))
    assert network(rows, torch.zeros_like(rows), torch.zeros(5, 6)).shape == (
        5,
        1 if name in SINGLE else K,
        D,
    )
    assert network.vectors().shape == (NUM_ROWS, D)


def test_interests_and_video_vectors_have_length_one(network: InterestNetwork) -> None:
    for vectors in (network(*history(3, 4, 5)), network.vectors()):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]))


def test_padding_never_contributes(network: InterestNetwork) -> None:
    short = network(*history(3, 4, 5))
    padded = network(*history(PAD_ROW, PAD_ROW, PAD_ROW, 3, 4, 5))
    torch.testing.assert_close(padded, short)


def test_interests_differ_between_users(network: InterestNetwork) -> None:
    ours, theirs = network(*history(3, 4, 5)), network(*history(6, 7, 8))
    assert (ours - theirs).abs().max() > 1e-3


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - SINGLE))
def test_interests_differ_from_each_other(network: InterestNetwork) -> None:
    ours = network(*history(*range(3, 11)))  # eight watches, for which every network has three interests
    assert min((ours[0, i] - ours[0, j]).abs().max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_what_was_done_matters(network: InterestNetwork) -> None:
    rows, actions, ages = history(3, 4, 5)
    skipped = torch.tensor([[POSITIVE, int(Action.QUICK_SKIP), POSITIVE]])
    assert not torch.allclose(network(rows, skipped, ages), network(rows, actions, ages))


def test_how_long_ago_matters_where_it_is_read(name: str, network: InterestNetwork) -> None:
    rows, actions, ages = history(3, 4, 5)
    is_same = torch.allclose(network(rows, actions, ages * 30), network(rows, actions, ages))
    assert is_same == (name in AGELESS)


def test_the_hour_of_the_question_does_not_matter(network: InterestNetwork) -> None:
    rows, actions, ages = history(3, 4, 5)
    torch.testing.assert_close(network(rows, actions, ages + 2.5), network(rows, actions, ages))


def test_the_pass_over_all_prefixes_gives_what_each_prefix_alone_gives(name: str) -> None:
    torch.manual_seed(7)
    network = small_network(name, objective="next_item").eval()
    if type(network).route_prefixes is InterestNetwork.route_prefixes:
        return  # trained on one prefix per user
    rows, actions, ages = history(PAD_ROW, 3, 4, 5, 4)
    together = network.route_prefixes(rows, actions, ages).interests.unflatten(0, (1, -1))
    for end in range(2, 6):
        alone = network(rows[:, :end], actions[:, :end], ages[:, :end] - ages[:, end - 1 : end])
        torch.testing.assert_close(together[:, end - 1], alone)


def test_a_step_reads_the_touched_rows_only_and_all_of_them_get_a_gradient(name: str) -> None:
    torch.manual_seed(7)
    network = small_network(name).train()
    tables = tables_of(network)
    for table in tables:
        table.touch(torch.tensor([PAD_ROW, 3, 4, 5, 9]))
    routed = network.route(*history(3, 4, 5))
    (routed.interests @ network.item_vectors(torch.tensor([9])).T).sum().backward()
    assert tables
    assert all(table.touched is not None and table.touched.grad is not None for table in tables)


def test_a_user_without_history_gets_finite_interests(network: InterestNetwork) -> None:
    assert torch.isfinite(network(*history(PAD_ROW, PAD_ROW))).all()


def test_activation_is_the_share_of_positives_won_by_each_interest() -> None:
    class Fixed(InterestNetwork):
        """Two interests, east and north; videos 1 and 2 lie in the east, video 3 in the north."""

        def forward(
            self, video_rows: torch.Tensor, actions: torch.Tensor, age_days: torch.Tensor
        ) -> torch.Tensor:
            return torch.eye(2).expand(len(video_rows), 2, 2)

        def item_vectors(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 9.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])[rows]

    rows = torch.tensor([[PAD_ROW, 1, 2, 3], [1, 2, 3, 3], [PAD_ROW, PAD_ROW, 1, 3]])
    liked_only = int(Action.LIKED)
    actions = torch.tensor(
        [[0, POSITIVE, POSITIVE, POSITIVE], [POSITIVE | liked_only, 0, POSITIVE, liked_only], [0] * 4]
    )
    _, activation = Extractor(Fixed(4, temperature=1.0))(rows, actions, torch.zeros(3, 4))
    # User 0: videos 1 and 2 east, 3 north. User 1: only videos 1 and 3 are positive. User 2: no positive.
    np.testing.assert_allclose(activation.numpy(), [[2 / 3, 1 / 3], [1 / 2, 1 / 2], [0, 0]], atol=1e-6)
