"""The item side of a network: the vector of a video out of its id and of what else is known of it.

Two ways to fuse them. ``sum`` adds. ``gated`` weighs them per dimension,

    vector = 2 g * id + 2 (1 - g) * side,  g = sigmoid(W [id, side] + b),

and starts as the sum (W = b = 0). Videos without a row have the zero vector for their id. So that the side
features learn to stand alone, ``id_dropout`` takes everything that belongs to the id from a share of the
videos in training, wherever they stand: history, targets and negatives. Without the negatives, a vector
without its id would only ever be pulled towards interests.

Shape letters: D dimensions, N videos, G most values of one video in a field.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from features.item_fields import FieldName
from features.schema import PAD_ROW
from training.config import BelowOne, EncoderConfig
from training.encoder import VIDEO_SPREAD
from training.items import Items
from training.side_features import Pooling, SideFeatures
from training.tables import RowTable


def _split(names: object) -> object:
    return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names


class ItemSideConfig(EncoderConfig):
    """What is known of a video besides its id, and how both become one vector."""

    side_features: Annotated[tuple[FieldName, ...], BeforeValidator(_split)] = ()
    """What else is known of a video and added to its vector; with commas between them."""
    side_fusion: Literal["sum", "gated"] = "sum"
    """How the vectors of the id and of the side features become one."""
    tag_pooling: Pooling = "mean"
    """How the vectors of several tags become one."""
    id_dropout: BelowOne = 0.0
    """Share of the videos that a training step knows by their side features alone."""
    negatives: Literal["full", "id"] = "full"
    """Vectors of the negatives in the loss: those of the index, or without the side features."""

    @model_validator(mode="after")
    def _fusion_needs_two(self) -> "ItemSideConfig":
        changed = {
            "side_fusion=gated": self.side_fusion == "gated",
            f"id_dropout={self.id_dropout}": self.id_dropout > 0,
            "negatives=id": self.negatives == "id",
        }
        asked = [name for name, is_asked in changed.items() if is_asked]
        if asked and not self.side_features:
            raise ValueError(f"{', '.join(asked)} says nothing without side_features; name some")
        return self


class ItemSide(nn.Module):
    """Vectors of videos, before a network makes them its output or a token."""

    def __init__(self, items: Items, config: ItemSideConfig) -> None:
        super().__init__()
        names, dim = config.side_features, config.dim
        self.side = SideFeatures(items, names, dim, VIDEO_SPREAD, config.tag_pooling) if names else None
        self.ids = RowTable(items.num_rows, dim, VIDEO_SPREAD)
        self.gate = nn.Linear(2 * dim, dim) if config.side_fusion == "gated" else None
        self.id_dropout = config.id_dropout
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

    def forward(
        self, rows: Int64[Tensor, "*S"], differences: Float[Tensor, "*S D"] | None = None
    ) -> Float[Tensor, "*S D"]:
        """Vectors of videos of the vocabulary.

        Args:
            differences: what else belongs to their ids.
        """
        side = None if self.side is None else self.side(rows)
        return self._fused(self.ids(rows), side, differences, self._kept(rows))

    def encode(
        self,
        rows: Int64[Tensor, " N"],
        fields: Sequence[Int64[Tensor, "N _"]],
        differences: Float[Tensor, "N D"],
    ) -> Float[Tensor, "N D"]:
        """Vectors of any videos, from their rows in each field; row 0 has no id."""
        assert self.side is not None
        return self._fused(self.ids(rows), self.side.encode(fields), differences, rows != PAD_ROW)

    def _fused(
        self,
        ids: Float[Tensor, "*S D"],
        side: Float[Tensor, "*S D"] | None,
        differences: Float[Tensor, "*S D"] | None,
        known: Bool[Tensor, "*S"] | None,
    ) -> Float[Tensor, "*S D"]:
        """One vector of all parts, without those of the id where it is not known."""
        if known is not None:
            ids = ids * known.unsqueeze(-1)
            differences = None if differences is None else differences * known.unsqueeze(-1)
        if side is not None and self.gate is not None:
            share = 2 * torch.sigmoid(self.gate(torch.cat([ids, side], dim=-1)))
            ids, side = share * ids, (2 - share) * side
        fused = ids if side is None else ids + side
        return fused if differences is None else fused + differences

    def _kept(self, rows: Int64[Tensor, "*S"]) -> Bool[Tensor, "*S"] | None:
        """In training, which videos keep their id; ``None``: all."""
        if not self.training or not self.id_dropout:
            return None
        return torch.rand(rows.shape, device=rows.device) >= self.id_dropout
