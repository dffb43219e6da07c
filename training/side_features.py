"""Side features of videos as vectors in the space of the video's own: uploader, tags, category and the like.

What a video is about is known before anybody watched it; added to its own vector on both sides of a network,
it helps most where that vector had little to learn from. Several values of a field (tags) are pooled.

Shape letters: D dimensions, G most values of one video in a field.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from features.item_fields import FieldName
from features.schema import PAD_ROW
from training.items import Items

Pooling = Literal["mean", "max", "attention"]
SHARED_SPEED: Final = 10.0
"""Factor on the stored vectors: they learn at the dense rate, a tenth of the video table's, and Adam's steps
do not depend on the scale of the gradient."""


class FieldVectors(nn.Module):
    """Vectors of one field, by video row; zero where a video has no value.

    Args:
        pooling: of several values; ``attention`` weighs each by a learned score of its vector, all alike at
            first.
    """

    def __init__(self, items: Items, name: FieldName, dim: int, pooling: Pooling = "mean") -> None:
        super().__init__()
        field = items.fields[name]
        self.name = name
        self.pooling = pooling
        self.values = nn.Embedding(field.num_rows, dim)
        self.score = nn.Parameter(torch.zeros(dim)) if pooling == "attention" else None
        self.register_buffer("rows", torch.from_numpy(field.rows), persistent=False)

    def forward(self, video_rows: Int64[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """The pooled values of each video of the vocabulary."""
        return self.pool(self.rows[video_rows])

    def pool(self, values: Int64[Tensor, "*S G"]) -> Float[Tensor, "*S D"]:
        """One vector for the values of each video, 0 being none."""
        real = (values != PAD_ROW).unsqueeze(-1)  # (*S, G, 1)
        vectors = self.values(values)  # (*S, G, D)
        if self.pooling == "max":
            lowest = torch.finfo(vectors.dtype).min
            pooled = vectors.masked_fill(~real, lowest).amax(dim=-2).masked_fill(~real.any(dim=-2), 0.0)
            return SHARED_SPEED * pooled
        if self.score is None:
            return SHARED_SPEED * (vectors * real).sum(dim=-2) / real.sum(dim=-2).clamp(min=1)
        scores = SHARED_SPEED * (vectors @ self.score).unsqueeze(-1)
        weights = scores.masked_fill(~real, torch.finfo(vectors.dtype).min).softmax(dim=-2) * real
        return SHARED_SPEED * (weights * vectors).sum(dim=-2)


def spread_fields(fields: Iterable[FieldVectors], spread: float) -> None:
    """Fresh vectors with this standard deviation."""
    for field in fields:
        nn.init.normal_(field.values.weight, std=spread / SHARED_SPEED)


class SideFeatures(nn.Module):
    """The sum over the fields.

    Args:
        spread: standard deviation of the fresh vectors of each field.
        tag_pooling: see ``FieldVectors``.
    """

    def __init__(
        self,
        items: Items,
        names: Sequence[FieldName],
        dim: int,
        spread: float,
        tag_pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        fields = [FieldVectors(items, n, dim, tag_pooling if n == "tag_ids" else "mean") for n in names]
        spread_fields(fields, spread)
        self.fields = nn.ModuleList(fields)

    def forward(self, video_rows: Int64[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """One vector per video of the vocabulary."""
        return torch.stack([field(video_rows) for field in self.fields]).sum(dim=0)

    def rows_of(self, video_rows: Int64[Tensor, " N"]) -> tuple[Int64[Tensor, "N _"], ...]:
        """Rows in each field of the videos of the vocabulary."""
        return tuple(field.rows[video_rows] for field in self.fields)

    def encode(self, rows: Sequence[Int64[Tensor, "N _"]]) -> Float[Tensor, "N D"]:
        """One vector per video, from its rows in each field."""
        return torch.stack([field.pool(r) for field, r in zip(self.fields, rows, strict=True)]).sum(dim=0)
