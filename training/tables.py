"""Embedding tables of which one step touches few rows.

A dense table of a large catalogue costs its whole size at every step: the gradient is zeroed, clipped and fed
to the optimizer for rows that no example named. Here a step says first which rows it needs; those alone are
copied out, get a gradient and are written back. ``training/optimizer.py`` keeps the moments.

Shape letters: R rows of the table, N rows of one step, D dimensions.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F


class RowTable(nn.Module):
    """Maps rows to vectors; trains only the rows that were touched.

    Args:
        spread: standard deviation of fresh vectors.
    """

    def __init__(self, num_rows: int, dim: int, spread: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, dim), requires_grad=False)
        self.register_buffer("_slots", torch.zeros(num_rows, dtype=torch.int64), persistent=False)
        self.touched: Tensor | None = None
        """(N, D) leaf of the current step; its gradient is that of the touched rows."""
        nn.init.normal_(self.weight, std=spread)

    def touch(self, rows: Int64[Tensor, " N"]) -> None:
        """From now on read a copy of these distinct rows, and no others, until ``release``."""
        self.touched = self.weight.index_select(0, rows).requires_grad_()
        self._slots[rows] = torch.arange(len(rows), device=rows.device)

    def release(self) -> None:
        """Read the table itself again."""
        self.touched = None

    def forward(self, rows: Int64[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Vectors of rows; inside a step only touched rows may be asked for."""
        if self.touched is None:
            return F.embedding(rows, self.weight)
        return F.embedding(self._slots[rows], self.touched)


def tables_of(module: nn.Module) -> list[RowTable]:
    """All row tables inside ``module``."""
    return [part for part in module.modules() if isinstance(part, RowTable)]
