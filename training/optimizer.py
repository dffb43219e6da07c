"""Adam for dense weights and for row tables, with one schedule, one clip and an average of the weights.

A row that a step does not touch would still be moved by Adam's momentum. ``DeferredAdam`` does that when the
row is touched next: the n skipped steps of Adam (Kingma and Ba, ICLR 2015, algorithm 1) with gradient zero
are a geometric series,

    m <- beta1^n m,  v <- beta2^n v,  weight <- weight - lr * m / sqrt(v) * sum_{i=1..n} r^i,
    r = beta1 / sqrt(beta2),

at the cost of the touched rows alone. It departs from Adam in the bias correction and the learning rate of
the skipped steps, which are those of the step that catches up, and in epsilon, which is left out of the
series.

Shape letters: R rows of the table, N rows of one step, D dimensions.
"""

import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from training.config import TrainConfig
from training.tables import RowTable, tables_of

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
FLAT_SHARE = 0.3
"""Share of the steps at the peak learning rate, before the cosine begins."""


class DeferredAdam:
    """Adam over row tables that share their row numbers."""

    def __init__(self, tables: list[RowTable]) -> None:
        self._tables = tables
        self._means = [torch.zeros_like(table.weight) for table in tables]
        self._squares = [torch.zeros_like(table.weight) for table in tables]
        num_rows = max((len(table.weight) for table in tables), default=0)
        self._last = torch.zeros(num_rows, dtype=torch.int64)
        self._rows = torch.zeros(0, dtype=torch.int64)
        self._step = 0

    def touch(self, rows: Int64[Tensor, " N"], rate: float) -> None:
        """Bring distinct rows up to date and open them for the next step."""
        self._catch_up(rows, rate)
        self._rows = rows
        for table in self._tables:
            table.touch(rows)

    def leaves(self) -> list[Tensor]:
        """(N, D) per table: what gets a gradient in this step."""
        return [table.touched for table in self._tables if table.touched is not None]

    def step(self, rate: float) -> None:
        """Move the touched rows along their gradients and close them."""
        self._step += 1
        self._last[self._rows] = self._step
        for table, means, squares in zip(self._tables, self._means, self._squares, strict=True):
            leaf = table.touched
            table.release()
            if leaf is None or leaf.grad is None:
                continue
            mean = means.index_select(0, self._rows).lerp_(leaf.grad, 1 - BETA1)
            square = squares.index_select(0, self._rows)
            square.mul_(BETA2).addcmul_(leaf.grad, leaf.grad, value=1 - BETA2)
            denominator = (square / (1 - BETA2**self._step)).sqrt_().add_(EPSILON)
            moved = leaf.detach().addcdiv_(mean, denominator, value=-rate / (1 - BETA1**self._step))
            for whole, part in ((table.weight, moved), (means, mean), (squares, square)):
                whole.index_copy_(0, self._rows, part)

    def flush(self, rate: float) -> None:
        """Bring every row up to date, before the tables are read as a whole."""
        self._catch_up(torch.arange(len(self._last)), rate)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        parts = {"last": self._last, "step": torch.tensor(self._step)}
        for i, (means, squares) in enumerate(zip(self._means, self._squares, strict=True)):
            parts |= {f"mean.{i}": means, f"square.{i}": squares}
        return parts

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state``."""
        self._last.copy_(state["last"])
        self._step = int(state["step"])
        for i, (means, squares) in enumerate(zip(self._means, self._squares, strict=True)):
            means.copy_(state[f"mean.{i}"])
            squares.copy_(state[f"square.{i}"])

    def _catch_up(self, rows: Int64[Tensor, " N"], rate: float) -> None:
        """Do the steps that these rows missed, with gradient zero."""
        missed = (self._step - self._last[rows]).unsqueeze(1)
        late = missed.squeeze(1) > 0
        if not self._step or not late.any():
            return
        rows, missed = rows[late], missed[late].float()
        ratio = BETA1 / math.sqrt(BETA2)
        series = ratio * (1 - ratio**missed) / (1 - ratio)  # (N, 1)
        correction = math.sqrt(1 - BETA2**self._step) / (1 - BETA1**self._step)
        for table, means, squares in zip(self._tables, self._means, self._squares, strict=True):
            mean, square = means[rows], squares[rows]
            step = mean * series * correction / square.sqrt().clamp(min=EPSILON)
            table.weight.index_add_(0, rows, step, alpha=-rate)
            means.index_copy_(0, rows, mean * BETA1**missed)
            squares.index_copy_(0, rows, square * BETA2**missed)
        self._last[rows] = self._step


class Optimizer:
    """Every weight of a network: dense ones by AdamW without decay, tables by ``DeferredAdam``."""

    def __init__(self, network: nn.Module, config: TrainConfig, schedule: Callable[[int], float]) -> None:
        self._config = config
        self._schedule = schedule
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._dense = torch.optim.AdamW(self._weights, lr=config.learning_rate, weight_decay=0.0)
        self._tables = DeferredAdam(tables_of(network))
        self.num_steps = 0

    @property
    def rate(self) -> float:
        """Learning rate of the dense weights at the next step."""
        return self._config.learning_rate * self._schedule(self.num_steps)

    def touch(self, rows: Int64[Tensor, " N"]) -> None:
        """Open the rows of the next step; distinct."""
        self._dense.zero_grad(set_to_none=True)
        self._tables.touch(rows, self._table_rate)

    def gradients(self, *, fill: bool = False) -> list[Tensor]:
        """All gradients of this step.

        Args:
            fill: with zeros where a weight took no part, so that every process has the same list.
        """
        leaves = [*self._weights, *self._tables.leaves()]
        if fill:
            for leaf in leaves:
                leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    def step(self) -> None:
        """Shorten the gradients together to ``clip_norm`` and take the step."""
        _clip(self.gradients(), self._config.clip_norm)
        for group in self._dense.param_groups:
            group["lr"] = self.rate
        self._dense.step()
        self._tables.step(self._table_rate)
        self.num_steps += 1

    def flush(self) -> None:
        """Make the tables what they would be if every row had taken every step."""
        self._tables.flush(self._table_rate)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named arrays."""
        parts = {f"tables.{name}": part for name, part in self._tables.state().items()}
        for place, moments in self._dense.state_dict()["state"].items():
            parts |= {f"dense.{place}.{name}": part.clone() for name, part in moments.items()}
        return parts | {"num_steps": torch.tensor(self.num_steps)}

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state``."""
        self.num_steps = int(state["num_steps"])
        self._tables.load(
            {name.removeprefix("tables."): p for name, p in state.items() if name.startswith("tables.")}
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for name, part in state.items():
            if name.startswith("dense."):
                _, place, moment = name.split(".")
                moments.setdefault(int(place), {})[moment] = part
        self._dense.load_state_dict(self._dense.state_dict() | {"state": moments})

    @property
    def _table_rate(self) -> float:
        return self._config.table_learning_rate * self._schedule(self.num_steps)


class AverageWeights:
    """Exponential moving average of a network's state (Polyak and Juditsky, 1992, in its running form).

    The average starts with the first step; its decay grows from 0 towards ``decay``, so that early averages
    do not remember the random beginning: min(decay, (1 + steps) / (10 + steps))."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {name: part.detach().clone() for name, part in network.state_dict().items()}
        self.num_steps = 0

    def add(self, network: nn.Module) -> None:
        """Take one step's weights in."""
        self.num_steps += 1
        kept = min(self._decay, (1 + self.num_steps) / (10 + self.num_steps))
        for name, part in network.state_dict().items():
            if part.is_floating_point():
                self.state[name].lerp_(part, 1 - kept)
            else:
                self.state[name].copy_(part)


def schedule(config: TrainConfig, peak: float, num_steps: int) -> Callable[[int], float]:
    """Linear warm-up, flat, then a cosine to zero, as a factor of the learning rate.

    Args:
        peak: factor on the learning rates of the configuration.
    """
    warmup = max(min(config.warmup_steps, num_steps // 10), 1)
    flat = FLAT_SHARE * num_steps

    def factor(step: int) -> float:
        annealed = min(max(step - flat, 0) / (num_steps - flat), 1)
        return peak * min((step + 1) / warmup, 1) * (1 + math.cos(math.pi * annealed)) / 2

    return factor


def _clip(gradients: Iterable[Tensor], longest: float) -> None:
    parts = list(gradients)
    length = torch.linalg.vector_norm(torch.stack([part.norm() for part in parts]))
    factor = (longest / (length + 1e-6)).clamp(max=1.0)
    for part in parts:
        part.mul_(factor)
