"""The loop learns, repeats itself, stops early, and stops when the loss is no number."""

from pathlib import Path

import numpy as np
import pytest
import torch

from features.vocabulary import Vocabulary
from tests.training.networks import NUM_ROWS, K, small_network
from tests.training.test_examples import POSITIVE, sequences
from training.activation import ActivationRecord
from training.checkpoint import Checkpoint
from training.config import InterestConfig
from training.errors import TrainingDivergedError
from training.evaluation import Metrics
from training.examples import HiddenSets
from training.loop import Context, Fit, Plan, fit
from training.network import InterestNetwork
from training.sampling import NegativeSampler
from training.tables import tables_of
from training.tracking import NoTracker

CONFIG = InterestConfig(
    batch_size=16, epochs=4, patience=2, num_negatives=16, warmup_steps=2, history_length=6, num_interests=K
)


class Curve(NoTracker):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float | None]] = []

    def log_metrics(self, metrics: dict[str, float | None], *, step: int = 0) -> None:
        self.steps.append({"step": step, **metrics})


def run(
    config: InterestConfig = CONFIG,
    *,
    network: InterestNetwork | None = None,
    plan: Plan | None = None,
    record: ActivationRecord | None = None,
    context: Context = Context(),  # noqa: B008 - it has no state
) -> tuple[Fit, InterestNetwork]:
    """Fit on 64 users, half of whom watch the first half of the videos and half the other."""
    random = np.random.default_rng(0)
    users = [[(int(v), POSITIVE) for v in random.permutation(19)[:8] + 1 + 19 * (u % 2)] for u in range(64)]
    examples = HiddenSets(sequences(*users), Vocabulary(np.arange(1, NUM_ROWS)), config)
    torch.manual_seed(config.seed)
    network = network or small_network()
    sampler = NegativeSampler(torch.ones(NUM_ROWS), config.num_negatives, config.popularity_share)
    plan = plan or Plan(config.epochs)
    record = record or ActivationRecord(np.arange(64), K, config.activation_half_life)
    return fit(network, examples, sampler, config, plan=plan, record=record, context=context), network


def test_the_loss_falls() -> None:
    losses = run()[0].losses
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.1


def test_the_same_seed_gives_the_same_losses_and_weights_and_another_does_not() -> None:
    (first, network), (second, same) = run(), run()
    assert first.losses == second.losses
    assert torch.equal(network.vectors(), same.vectors())
    assert run(CONFIG.model_copy(update={"seed": 8}))[0].losses != first.losses


def test_a_loss_that_is_no_number_stops_with_step_rate_and_advice() -> None:
    network = small_network()
    with torch.no_grad():
        tables_of(network)[0].weight[3] = torch.nan
    with pytest.raises(TrainingDivergedError, match=r"nan at step \d+, learning rate .*try a smaller"):
        run(network=network)


def test_training_stops_without_progress_and_keeps_the_best_weights() -> None:
    values = iter([0.1, 0.3, 0.2, 0.3])
    seen: list[torch.Tensor] = []

    def validate(network: InterestNetwork) -> Metrics:
        seen.append(network.vectors().detach().clone())
        return {"recall_at_50": next(values)}

    curve = Curve()
    result, network = run(plan=Plan(10, validate=validate), context=Context(curve))
    assert (result.best_epoch, result.metrics) == (2, {"recall_at_50": 0.3})
    assert len(seen) == 4, "two epochs without a better value end the run; an equal value is no better"
    assert torch.equal(network.vectors(), seen[1])
    assert [(step["step"], step["recall_at_50"]) for step in curve.steps] == [
        (1, 0.1),
        (2, 0.3),
        (3, 0.2),
        (4, 0.3),
    ]
    assert all(step["loss"] > 0 for step in curve.steps)


def test_without_validation_all_epochs_are_run() -> None:
    assert run(plan=Plan(3))[0].best_epoch == 3


def test_padding_and_unseen_videos_do_not_disturb_a_step() -> None:
    network = run(plan=Plan(1))[1]
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


def test_a_lower_peak_takes_smaller_steps() -> None:
    def moved(peak: float) -> float:
        torch.manual_seed(1)
        network = small_network()
        before = network.vectors().detach().clone()
        run(network=network, plan=Plan(1, peak=peak))
        return (network.vectors() - before).norm().item()

    assert moved(0.1) < 0.5 * moved(1.0)


def test_a_warm_start_flattens_the_softmax_and_ends_after_a_fifth_of_the_steps() -> None:
    plain, warm = run(plan=Plan(5)), run(plan=Plan(5, warmth=1000.0))
    # Of untrained vectors a flat softmax is less wrong than a sharp one.
    assert warm[0].losses[0] < plain[0].losses[0]
    assert warm[0].losses[-1] == pytest.approx(plain[0].losses[-1], rel=0.2), "cold again"


def test_the_record_holds_what_the_kept_weights_activated() -> None:
    def counts(epochs: int) -> np.ndarray:
        values = iter([0.3, 0.1])
        record = ActivationRecord(np.arange(64), K, half_life_epochs=1.0)
        run(plan=Plan(epochs, validate=lambda _: {"recall_at_50": next(values)}), record=record)
        return record.counts

    # The second epoch is worse, so its activations are forgotten with its weights.
    plan_of_two = counts(2)
    assert plan_of_two.sum() > 0
    assert (plan_of_two.sum(axis=1) >= 1).all(), "each of the 64 users activated something"
    assert plan_of_two.sum() < 64 * 6, "one epoch's targets, not two"


def killed_and_continued(folder: Path, kills: int) -> tuple[InterestNetwork, ActivationRecord, int]:
    """A run that is stopped ``kills`` times in the middle of an epoch, each time with a fresh network."""

    class Killed(Exception): ...

    for attempt in range(kills + 1):

        class Deadly(Checkpoint):
            """Saves at every step, and stops the run some steps further."""

            steps = 0

            @property
            def is_due(self) -> bool:
                return True

            def save(self, state: object) -> None:
                super().save(state)  # type: ignore[arg-type]
                type(self).steps += 1
                if attempt < kills and type(self).steps == 3:  # noqa: B023
                    raise Killed

        record = ActivationRecord(np.arange(64), K, half_life_epochs=1.0)
        torch.manual_seed(100 + attempt)  # nothing may depend on what the process was born with
        network = small_network()
        checkpoint = Deadly(folder / "run.npz", seconds=0.0)
        try:
            plan = Plan(3, validate=lambda _: {"recall_at_50": 0.1})
            run(
                CONFIG.model_copy(update={"ema_decay": 0.9}),
                network=network,
                plan=plan,
                record=record,
                context=Context(checkpoint=checkpoint),
            )
            return network, record, attempt
        except Killed:
            continue
    raise AssertionError("never finished")


def test_a_run_killed_three_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    torch.manual_seed(100)
    undisturbed = small_network()
    record = ActivationRecord(np.arange(64), K, half_life_epochs=1.0)
    run(
        CONFIG.model_copy(update={"ema_decay": 0.9}),
        network=undisturbed,
        plan=Plan(3, validate=lambda _: {"recall_at_50": 0.1}),
        record=record,
    )
    network, continued, attempts = killed_and_continued(tmp_path, kills=3)
    assert attempts == 3
    for name, part in undisturbed.state_dict().items():
        assert torch.equal(part, network.state_dict()[name]), name
    assert np.array_equal(record.counts, continued.counts)


def test_collapsed_interests_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    run(plan=Plan(1, validate=lambda _: {"recall_at_50": 0.1, "mean_cosine": 0.96}))
    assert "interests collapsed" in capsys.readouterr().out
