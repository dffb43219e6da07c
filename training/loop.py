"""The training loop: batches through a network, judged on the validation days, with a progress bar.

Same seed, thread count and data give the same losses. A loss that is no number stops the run.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import structlog
import torch
from torch import Tensor
from tqdm import tqdm

from training.activation import ActivationRecord
from training.config import TrainConfig
from training.errors import TrainingDivergedError
from training.evaluation import MAIN_METRIC, Metrics
from training.examples import Batch, ExampleMaker
from training.losses import accidental_hits, single_activation_loss
from training.network import InterestNetwork
from training.sampling import NegativeSampler
from training.tracking import Tracker

log = structlog.get_logger(__name__)

FLAT_SHARE = 0.3
"""Share of the steps at the peak learning rate, before the cosine begins."""

WARM_SHARE = 0.2
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
    """Users with their hidden sets, without the time of validation."""


def fit(
    network: InterestNetwork,
    examples: ExampleMaker,
    sampler: NegativeSampler,
    config: TrainConfig,
    *,
    plan: Plan,
    record: ActivationRecord,
    tracker: Tracker,
    show_progress: bool = False,
) -> Fit:
    """Train ``network`` in place and leave it with its best weights, and ``record`` with what they activated.

    Raises:
        TrainingDivergedError: the loss became NaN or infinite.
    """
    steps = _Steps(network, sampler, config, plan, record, num_steps=plan.epochs * examples.num_batches)
    random = np.random.default_rng(config.seed)
    losses: list[float] = []
    best = _Best(network, record)
    seconds = 0.0
    with tqdm(total=plan.epochs * examples.num_users, unit=" examples", disable=not show_progress) as bar:
        for epoch in range(1, plan.epochs + 1):
            network.train()
            record.fade()
            started = time.perf_counter()
            losses.append(_mean_loss(steps, examples.epoch(random), bar))
            seconds += time.perf_counter() - started
            metrics = plan.validate(network) if plan.validate else {}
            speed = examples.num_users * epoch / seconds
            measured = best.offer(epoch, metrics)
            curve = {"loss" if plan.validate else "refit_loss": losses[-1], "examples_per_second": speed}
            tracker.log_metrics(curve | metrics, step=epoch)
            bar.set_postfix({"loss": losses[-1], f"best {MAIN_METRIC}": best.value})
            log.info("epoch finished", epoch=epoch, **curve, **{MAIN_METRIC: metrics.get(MAIN_METRIC)})
            if measured and epoch - best.epoch >= config.patience:
                break
    best.restore()
    return Fit(best.epoch, losses, best.metrics, speed)


def _mean_loss(steps: "_Steps", batches: Iterator[Batch], bar: tqdm) -> float:
    values = []
    for batch in batches:
        values.append(steps.take(batch))
        bar.update(len(batch.video_rows))
    return float(np.mean(values))


class _Steps:
    """Loss, gradient and update of one batch after the other."""

    def __init__(
        self,
        network: InterestNetwork,
        sampler: NegativeSampler,
        config: TrainConfig,
        plan: Plan,
        record: ActivationRecord,
        *,
        num_steps: int,
    ) -> None:
        self._network = network
        self._sampler = sampler
        self._config = config
        self._generator = torch.Generator().manual_seed(config.seed)
        self._optimizer = _optimizer(network, config)
        schedule = _schedule(config, plan, num_steps)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, schedule)
        self._plan = plan
        self._record = record
        self._num_warm_steps = WARM_SHARE * num_steps
        self._step = 0

    def take(self, batch: Batch) -> float:
        """Train on one batch; its loss."""
        loss = self._loss(batch)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"loss is {value} at step {self._step}, learning rate {self._schedule.get_last_lr()[0]:.2g}; "
                "try a smaller learning_rate or clip_norm, or a larger temperature"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._schedule.step()
        self._step += 1
        return value

    def _loss(self, batch: Batch) -> Tensor:
        """Weighted mean over the hidden videos of the batch."""
        as_tensor = torch.from_numpy
        users, rows = as_tensor(batch.target_users), as_tensor(batch.target_rows)
        weights = as_tensor(batch.target_weights)
        negatives = self._sampler.draw(self._generator)
        vectors = self._network.vectors()
        losses, activated = single_activation_loss(
            self._network(*map(as_tensor, (batch.video_rows, batch.actions, batch.age_days))),
            vectors[rows],
            users,
            vectors[negatives.rows],
            negatives.log_q,
            accidental_hits(rows, users, negatives.rows, len(batch.video_rows)),
            temperature=self._network.temperature * self._warmth(),
        )
        self._record.add(batch.user_ids, batch.target_users, activated.numpy(), batch.target_weights)
        return (losses * weights).sum() / weights.sum()

    def _warmth(self) -> float:
        return max(1.0, self._plan.warmth * (1 - self._step / self._num_warm_steps))


def _optimizer(network: InterestNetwork, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam without weight decay, larger steps for the video tables."""
    tables = network.video_tables()
    in_tables = {id(table) for table in tables}
    rest = [weight for weight in network.parameters() if id(weight) not in in_tables]
    groups = [
        {"params": rest, "lr": config.learning_rate},
        {"params": tables, "lr": config.table_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=0.0)


class _Best:
    """The weights and the activation record of the best epoch so far."""

    def __init__(self, network: InterestNetwork, record: ActivationRecord) -> None:
        self._network = network
        self._record = record
        self._counts = record.counts
        self._weights: dict[str, Tensor] | None = None
        self.epoch = 0
        self.metrics: Metrics = {}

    @property
    def value(self) -> float | None:
        """Main metric of the best epoch."""
        return self.metrics.get(MAIN_METRIC)

    def offer(self, epoch: int, metrics: Metrics) -> bool:
        """Remember this epoch if it is the best; whether anything was measured."""
        value = metrics.get(MAIN_METRIC)
        if value is None or self.value is None or value > self.value:
            self.epoch, self.metrics = epoch, metrics
            if value is not None:
                self._weights = copy.deepcopy(self._network.state_dict())
                self._counts = self._record.counts.copy()
        return value is not None

    def restore(self) -> None:
        """Put the best weights back; nothing to do when the last epoch counts."""
        if self._weights is not None:
            self._network.load_state_dict(self._weights)
            self._record.counts = self._counts


def _schedule(config: TrainConfig, plan: Plan, num_steps: int) -> Callable[[int], float]:
    """Linear warm-up, flat, then a cosine to zero, as a factor of the learning rate."""
    warmup = max(min(config.warmup_steps, num_steps // 10), 1)
    flat = FLAT_SHARE * num_steps

    def factor(step: int) -> float:
        annealed = min(max(step - flat, 0) / (num_steps - flat), 1)
        return plan.peak * min((step + 1) / warmup, 1) * (1 + math.cos(math.pi * annealed)) / 2

    return factor
