"""One training step: negatives, loss, gradient, update.

Shape letters: B users, T targets, K interests.
"""

import math

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from features.schema import PAD_ROW
from training.activation import ActivationRecord
from training.config import InterestConfig
from training.distributed import add, share, share_of_targets
from training.errors import TrainingDivergedError
from training.examples import Batch
from training.group import Group
from training.losses import (
    LOSSES,
    Candidates,
    LossShape,
    TargetLosses,
    Targets,
    accidental_hits,
    presence_loss,
)
from training.negative_feedback import TurnedDown, turned_down_losses
from training.network import InterestNetwork, Routed
from training.optimizer import Optimizer
from training.sampling import Negatives, NegativeSampler


class Steps:
    """Takes one step after the other."""

    def __init__(
        self,
        network: InterestNetwork,
        sampler: NegativeSampler,
        config: InterestConfig,
        optimizer: Optimizer,
        record: ActivationRecord,
        group: Group,
    ) -> None:
        self._network = network
        self._sampler = sampler
        self._config = config
        self.optimizer = optimizer
        self._record = record
        self._group = group
        self.generator = torch.Generator().manual_seed(config.seed)
        self._needed = torch.zeros(network.num_rows, dtype=torch.bool)
        self._device = next(network.parameters()).device

    def take(self, batch: Batch, warmth: float = 1.0) -> float:
        """Train on one batch; its loss.

        Args:
            warmth: factor on the temperature.

        Raises:
            TrainingDivergedError: the loss is no number.
        """
        self._network.train()
        rows = torch.from_numpy(batch.target_rows)
        negatives = self._sampler.draw(self.generator, rows)
        refused = np.empty(0, np.int64) if batch.turned_down_rows is None else batch.turned_down_rows
        read = (torch.from_numpy(part) for part in (batch.video_rows, refused))
        self.optimizer.touch(self._rows(*read, rows, negatives.rows))
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._config.precision == "bfloat16"
        ):
            loss = self._loss(batch, negatives, warmth)
        loss.backward()
        value = loss.detach().clone()
        add(self._group, value, *self.optimizer.gradients(fill=self._group.size > 1))
        if not math.isfinite(value.item()):
            raise TrainingDivergedError(
                f"loss is {value.item()} at step {self.optimizer.num_steps}, "
                f"learning rate {self.optimizer.rate:.2g}; "
                "try a smaller learning_rate or clip_norm, or a larger temperature"
            )
        self.optimizer.step()
        return value.item()

    def _rows(self, *parts: Int64[Tensor, "..."]) -> Int64[Tensor, " N"]:
        """The distinct rows of this step, padding among them."""
        self._needed.zero_()
        self._needed[PAD_ROW] = True
        for part in parts:
            self._needed[part.flatten()] = True
        return self._needed.nonzero().squeeze(1).to(self._device)

    def _loss(self, batch: Batch, negatives: Negatives, warmth: float) -> Float32[Tensor, ""]:
        """Weighted mean over the targets of the whole batch, of which this process adds its share."""
        mine = share(batch, self._group)
        routed = self._route(mine)
        queries = torch.from_numpy(mine.target_users)
        if mine.target_places is not None:
            queries = queries * mine.video_rows.shape[1] + torch.from_numpy(mine.target_places)
        found = self._target_losses(mine, queries.to(self._device), routed, negatives, warmth)
        self._remember(batch, found)
        weights = torch.from_numpy(mine.target_weights).to(self._device)
        losses = found.losses
        if self._config.negative_weight:
            losses = losses + self._config.negative_weight * self._turned_down(mine, routed, warmth)
        loss = (losses * weights).sum() / float(batch.target_weights.sum())
        part = len(mine.user_ids) / len(batch.user_ids)
        for name, weight in self._network.penalty_weights.items():
            loss = loss + part * weight * routed.penalties[name]
        if routed.presence is not None:
            presence = presence_loss(routed.presence, found.weights, queries.to(self._device))
            loss = loss + part * self._config.presence_weight * presence
        return loss

    def _route(self, batch: Batch) -> Routed:
        parts = [batch.video_rows, batch.actions, batch.age_days]
        parts += [] if batch.profile is None else [batch.profile]
        inputs = [torch.from_numpy(part).to(self._device) for part in parts]
        if batch.target_places is None:
            return self._network.route(*inputs)
        return self._network.route_prefixes(*inputs)

    def _target_losses(
        self, batch: Batch, queries: Int64[Tensor, " T"], routed: Routed, negatives: Negatives, warmth: float
    ) -> TargetLosses:
        device, config = self._device, self._config
        rows, users = torch.from_numpy(batch.target_rows), torch.from_numpy(batch.target_users)
        own = accidental_hits(rows, users, negatives.rows, len(batch.video_rows))
        log_q = negatives.log_q if config.use_log_q else torch.zeros_like(negatives.log_q)
        shape = LossShape(
            temperature=self._network.temperature * warmth,
            assignment=config.assignment,
            power=config.assignment_power,
            focal_gamma=config.focal_gamma,
            focal_alpha=config.focal_alpha,
            label_smoothing=config.label_smoothing,
            hard_beta=config.hard_beta,
        )
        return LOSSES[config.loss](
            routed.interests,
            Targets(self._network.item_vectors(rows.to(device)), queries, users.to(device)),
            Candidates(
                self._network.negative_vectors(negatives.rows.to(device)), log_q.to(device), own.to(device)
            ),
            shape,
        )

    def _turned_down(self, batch: Batch, routed: Routed, warmth: float) -> Float32[Tensor, " T"]:
        """What each target costs against what its user turned down."""
        rows, refused = (torch.from_numpy(part) for part in (batch.target_rows, batch.turned_down_rows))
        users, refusing = (torch.from_numpy(part) for part in (batch.target_users, batch.turned_down_users))
        return turned_down_losses(
            routed.interests,
            self._network.item_vectors(rows.to(self._device)),
            users.to(self._device),
            TurnedDown(self._network.item_vectors(refused.to(self._device)), refusing.to(self._device)),
            self._network.temperature * warmth,
        )

    def _remember(self, batch: Batch, found: TargetLosses) -> None:
        """Record which interests the targets of the whole batch activated."""
        weights = found.weights.float().cpu()
        if self._group.size > 1:
            everything = torch.zeros(len(batch.target_rows), weights.shape[1])
            everything[torch.from_numpy(share_of_targets(batch, self._group))] = weights
            weights = everything.to(self._device)
            add(self._group, weights)
            weights = weights.cpu()
        self._record.add(batch.user_ids, batch.target_users, weights.numpy(), batch.target_weights)
