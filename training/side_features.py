"""Side features of videos as vectors in the space of the video's own: uploader, tags, category and the like.

What a video is about is known before anybody watched it; added to its own vector on both sides of a network,
it helps most where that vector had little to learn from. A field with several values (tags) is their mean.

Shape letters: D dimensions, G most values of one video in a field.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from features.schema import PAD_ROW
from features.item_fields import FieldName
from training.items import Items

SHARED_SPEED: Final = 10.0
"""Factor on the stored vectors: they learn at the dense rate, a tenth of the video table's, and Adam's steps
do not depend on the scale of the gradient."""


class FieldVectors(nn.Module):
    """Vectors of one field, by video row; zero where a video has no value."""

    def __init__(self, items: Items, name: FieldName, dim: int) -> None:
        super().__init__()
        field = items.fields[name]
        self.values = nn.Embedding(field.num_rows, dim)
        self.register_buffer("rows", torch.from_numpy(field.rows), persistent=False)

    def forward(self, video_rows: Int64[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Mean of the values of each video."""
        values = self.rows[video_rows]  # (*S, G)
        sums = 0.0
        # One value at a time: the tags of a whole catalogue side by side do not fit memory.
        for place in range(self.rows.shape[1]):
            sums = sums + self.values(values[..., place]) * (values[..., place] != PAD_ROW).unsqueeze(-1)
        counts = (values != PAD_ROW).sum(dim=-1, keepdim=True).clamp(min=1)
        return SHARED_SPEED * sums / counts


def spread_fields(fields: Iterable[FieldVectors], spread: float) -> None:
    """Fresh vectors with this standard deviation."""
    for field in fields:
        nn.init.normal_(field.values.weight, std=spread / SHARED_SPEED)


class SideFeatures(nn.Module):
    """The sum over the fields.

    Args:
        spread: standard deviation of the fresh vectors of each field.
    """

    def __init__(self, items: Items, names: Sequence[FieldName], dim: int, spread: float) -> None:
        super().__init__()
        fields = [FieldVectors(items, name, dim) for name in names]
        spread_fields(fields, spread)
        self.fields = nn.ModuleList(fields)

    def forward(self, video_rows: Int64[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """One vector per video."""
        return torch.stack([field(video_rows) for field in self.fields]).sum(dim=0)
