"""The training loop: batches through a network, judged on the validation days, with a progress bar.

Same seed, thread count and data give the same weights, also when the run was killed and continued from its
checkpoint. A loss that is no number stops the run.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import structlog
import torch
from torch import Tensor
from tqdm import tqdm

from training.activation import ActivationRecord
from training.checkpoint import Checkpoint
from training.config import InterestConfig
from training.examples import Examples
from training.group import Group
from training.metrics import MAIN_METRIC, MAX_MEAN_COSINE, Metrics
from training.network import InterestNetwork
from training.optimizer import AverageWeights, Optimizer, schedule
from training.sampling import NegativeSampler
from training.step import Steps
from training.tracking import NoTracker, Tracker

log = structlog.get_logger(__name__)

WARM_SHARE: Final = 0.2
"""Share of the steps with a raised temperature."""

Validate = Callable[[InterestNetwork], Metrics]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast."""

    epochs: int
    peak: float = 1.0
    """Factor on the learning rates of the configuration."""
    warmth: float = 1.0
    """Factor on the temperature at the first step; it falls to 1 over ``WARM_SHARE`` of the steps."""
    validate: Validate | None = None
    """Metrics of the network after an epoch; without it every epoch is run and the last is kept."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a run went; the network holds the weights of the best epoch."""

    best_epoch: int
    """From 1; the last one when nothing was validated."""
    losses: list[float]
    """Mean loss of each epoch, in nats per target."""
    metrics: Metrics
    """Of the best epoch on the validation days; empty when nothing was validated."""
    examples_per_second: float
    """Targets in the loss, without the time of validation."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a run reports to, and with whom it trains; nothing here changes the outcome."""

    tracker: Tracker = field(default_factory=NoTracker)
    group: Group = field(default_factory=Group)
    checkpoint: Checkpoint | None = None
    """Continued from if it holds a state; ends up holding the finished run."""
    show_progress: bool = False

    @property
    def shows_bar(self) -> bool:
        """Whether this process draws the progress bar."""
        return self.show_progress and self.group.is_first


@dataclass(slots=True)
class Progress:
    """What a run has done so far; all of it is JSON."""

    epoch: int = 1
    """The epoch under way."""
    step: int = 0
    """Its next batch."""
    losses: list[float] | None = None
    epoch_loss: float = 0.0
    """Sum over the batches of the epoch under way."""
    num_examples: int = 0
    seconds: float = 0.0
    is_finished: bool = False


def fit(
    network: InterestNetwork,
    examples: Examples,
    sampler: NegativeSampler,
    config: InterestConfig,
    *,
    plan: Plan,
    record: ActivationRecord,
    context: Context = Context(),
) -> Fit:
    """Train ``network`` in place and leave it with its best weights, and ``record`` with what they activated.

    Raises:
        TrainingDivergedError: the loss became NaN or infinite.
    """
    run = _Fitting(network, examples, sampler, config, plan, record, context.group)
    checkpoint = context.checkpoint
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        run.restore(saved)
        log.info("training continued", epoch=run.progress.epoch, step=run.progress.step)
    total = plan.epochs * examples.num_users
    with tqdm(total=total, unit=" users", disable=not context.shows_bar) as bar:
        bar.update(min((run.progress.epoch - 1) * examples.num_users, total))
        while not run.progress.is_finished:
            run.epoch(checkpoint, bar)
            run.judge(context.tracker)
            bar.set_postfix(run.summary())
            if checkpoint is not None and context.group.is_first:
                checkpoint.save(run.state())
    return run.result()


class _Fitting:
    """A run under way, all of whose state can be saved and restored."""

    def __init__(
        self,
        network: InterestNetwork,
        examples: Examples,
        sampler: NegativeSampler,
        config: InterestConfig,
        plan: Plan,
        record: ActivationRecord,
        group: Group,
    ) -> None:
        self._network = network
        self._examples = examples
        self._config = config
        self._plan = plan
        self._record = record
        self._group = group
        self._num_steps = plan.epochs * examples.num_batches
        optimizer = Optimizer(network, config, schedule(config, plan.peak, self._num_steps))
        self._steps = Steps(network, sampler, config, optimizer, record, group)
        self._random = np.random.default_rng(config.seed)
        self._epoch_start = self._random.bit_generator.state
        self._average = AverageWeights(network, config.ema_decay) if config.ema_decay else None
        self._best = _Best()
        self.progress = Progress(losses=[])
        torch.manual_seed(config.seed)

    def epoch(self, checkpoint: Checkpoint | None, bar: tqdm) -> None:
        """Run the epoch under way to its end."""
        progress, skipped = self.progress, self.progress.step
        if not skipped:
            self._record.fade()
            self._epoch_start = self._random.bit_generator.state
        for place, batch in enumerate(self._examples.epoch(self._random)):
            if place < skipped:  # done before the run was killed; drawn again for the state of the generator
                continue
            started = time.perf_counter()
            progress.epoch_loss += self._steps.take(batch, self._warmth())
            if self._average is not None:
                self._average.add(self._network)
            progress.seconds += time.perf_counter() - started
            progress.num_examples += len(batch.target_rows)
            progress.step = place + 1
            bar.update(len(batch.user_ids))
            if checkpoint is not None and self._group.is_first and checkpoint.is_due:
                checkpoint.save(self.state())

    def judge(self, tracker: Tracker) -> None:
        """Validate the epoch that was run, and decide whether another follows."""
        progress = self.progress
        assert progress.losses is not None
        progress.losses.append(progress.epoch_loss / max(progress.step, 1))
        self._steps.optimizer.flush()
        metrics = self._validated()
        name = "loss" if self._plan.validate else "refit_loss"
        curve: Metrics = {name: progress.losses[-1], "examples_per_second": self.examples_per_second}
        if self._group.is_first:
            tracker.log_metrics(curve | metrics, step=progress.epoch)
        log.info("epoch finished", epoch=progress.epoch, **curve, **{MAIN_METRIC: metrics.get(MAIN_METRIC)})
        if (cosine := metrics.get("mean_cosine")) is not None and cosine > MAX_MEAN_COSINE:
            log.warning("interests collapsed", mean_cosine=cosine, epoch=progress.epoch)
        waited = progress.epoch - self._best.epoch
        progress.is_finished = progress.epoch >= self._plan.epochs or (
            bool(metrics) and waited >= self._config.patience
        )
        progress.epoch, progress.step, progress.epoch_loss = progress.epoch + 1, 0, 0.0

    def result(self) -> Fit:
        """The outcome; puts the best weights and their activations in place."""
        if self._best.weights is not None:
            self._network.load_state_dict(self._best.weights)
            self._record.counts = self._best.counts
        self._network.eval()
        losses = self.progress.losses or []
        return Fit(self._best.epoch, losses, self._best.metrics, self.examples_per_second)

    @property
    def examples_per_second(self) -> float:
        """Targets in the loss per second of training."""
        return self.progress.num_examples / max(self.progress.seconds, 1e-9)

    def summary(self) -> dict[str, Any]:
        """What the progress bar shows."""
        losses = self.progress.losses or [float("nan")]
        best = self._best.metrics.get(MAIN_METRIC)
        return {
            "loss": f"{losses[-1]:.4f}",
            "examples/s": f"{self.examples_per_second:.0f}",
            f"best {MAIN_METRIC}": "-" if best is None else f"{best:.4f}",
        }

    def state(self) -> dict[str, Any]:
        """Everything that decides what follows."""
        return {
            "progress": asdict(self.progress),
            "network": self._network.state_dict(),
            "optimizer": self._steps.optimizer.state(),
            "average": {} if self._average is None else self._average.state,
            "counts": self._record.counts,
            "best": self._best.state(),
            "random": self._epoch_start if self.progress.step else self._random.bit_generator.state,
            "negatives": self._steps.generator.get_state(),
            "dropout": torch.get_rng_state(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.progress = Progress(**saved["progress"])
        self._network.load_state_dict(saved["network"])
        self._steps.optimizer.load(saved["optimizer"])
        if self._average is not None:
            self._average.state = saved["average"]
            self._average.num_steps = self._steps.optimizer.num_steps
        self._record.counts = saved["counts"]
        self._best.load(saved["best"])
        self._random.bit_generator.state = saved["random"]
        self._epoch_start = saved["random"]
        self._steps.generator.set_state(saved["negatives"])
        torch.set_rng_state(saved["dropout"])

    def _warmth(self) -> float:
        share = self._steps.optimizer.num_steps / (WARM_SHARE * self._num_steps)
        return max(1.0, self._plan.warmth * (1 - share))

    def _validated(self) -> Metrics:
        """Metrics of the weights that would be exported now; the best ones are remembered."""
        trained = self._network.state_dict()
        if self._average is not None:
            trained = {name: part.clone() for name, part in trained.items()}
            self._network.load_state_dict(self._average.state)
        metrics = self._plan.validate(self._network.eval()) if self._plan.validate else {}
        self._best.offer(self.progress.epoch, metrics, self._network, self._record)
        self._network.load_state_dict(trained)
        return metrics


class _Best:
    """The weights and the activation record of the best epoch so far."""

    def __init__(self) -> None:
        self.epoch = 0
        self.metrics: Metrics = {}
        self.weights: dict[str, Tensor] | None = None
        self.counts = np.zeros((0, 0), dtype=np.float32)

    def offer(self, epoch: int, metrics: Metrics, network: InterestNetwork, record: ActivationRecord) -> None:
        """Remember this epoch if it is the best, or if nothing is measured."""
        value, best = metrics.get(MAIN_METRIC), self.metrics.get(MAIN_METRIC)
        if value is None or best is None or value > best:
            self.epoch, self.metrics = epoch, metrics
            self.weights = {name: part.clone() for name, part in network.state_dict().items()}
            self.counts = record.counts.copy()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "epoch": self.epoch,
            "metrics": self.metrics,
            "weights": self.weights or {},
            "counts": self.counts,
        }

    def load(self, saved: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.epoch, self.metrics, self.counts = saved["epoch"], saved["metrics"], saved["counts"]
        self.weights = saved["weights"] or None
