"""A transformer over a watch history: what was watched, what was done, how long ago.

The attention is written out with an additive mask: PyTorch's fused layer turns rows that begin with padding
into NaN in evaluation mode. A learned start token stands before every history and is always visible, so
that a user without watches gets a defined result too.

A causal encoder lets a watch look at earlier ones only. Its tokens then do not depend on what comes later,
and one pass serves every prefix: places count from the oldest watch and ages are gaps to the watch before.
Without it, places count from the newest watch and ages from the newest too.

Attention costs the square of the tokens. For long histories, all but the newest watches can be averaged in
blocks first.

Shape letters: B users, L watches (newest last, padded on the left), M = 1 + L tokens, D dimensions.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from features.positives import NUM_ACTION_BITS, Action
from features.schema import PAD_ROW
from training.action_bits import action_bits
from training.config import EncoderConfig
from training.tables import RowTable

NUM_AGE_BUCKETS: Final = 16
"""Bucket of an age is log2(1 + hours), so the last covers everything older than 3.7 years."""
VIDEO_SPREAD: Final = 0.1
"""Standard deviation of fresh video vectors. Everything else starts near zero: whatever all tokens share
survives the pooling over a long history, while the videos average out, and then drowns them for epochs."""
DIFFERENCE_SPREAD: Final = 1e-4
"""Standard deviation of a fresh difference between two vectors of one video: they start as one."""
FRESH_SPREAD: Final = 0.01
"""Standard deviation of fresh weights that write into the residual stream."""


class HistoryEncoder(nn.Module):
    """Tokens of a history, each informed by the others.

    Args:
        num_rows: rows of the video table, padding included.
        videos: rows to vectors; a table of its own if ``None``.
    """

    def __init__(self, num_rows: int, config: EncoderConfig, videos: nn.Module | None = None) -> None:
        super().__init__()
        dim, dropout = config.dim, config.dropout
        self.is_causal = config.is_causal
        self.item_dropout = config.item_dropout
        self.num_recent = config.num_recent
        self.block_length = config.block_length
        self.history_length = config.history_length
        self.videos = videos or RowTable(num_rows, dim, VIDEO_SPREAD)
        is_split = config.history_tables == "by_action"
        self.plain_differences = RowTable(num_rows, dim, DIFFERENCE_SPREAD) if is_split else None
        self.actions = nn.Linear(NUM_ACTION_BITS, dim)
        self.gates = nn.Linear(NUM_ACTION_BITS, dim)
        self.ages = nn.Embedding(NUM_AGE_BUCKETS, dim)
        self.places = nn.Embedding(config.history_length, dim)
        self.start = nn.Parameter(torch.zeros(dim))
        self.layers = nn.ModuleList(
            TransformerLayer(dim, config.num_heads, dropout) for _ in range(config.num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("bits_of_code", action_bits(config.actions), persistent=False)
        constants = (
            *self.actions.parameters(),
            *self.gates.parameters(),
            self.ages.weight,
            self.places.weight,
        )
        for constant in constants:
            nn.init.zeros_(constant)

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> tuple[Float[Tensor, "B M D"], Bool[Tensor, "B M"]]:
        """Tokens, and which of them are real; the start token comes first."""
        watched = self._kept(video_rows != PAD_ROW)
        bits = F.embedding(actions, self.bits_of_code)  # (B, L, bits)
        videos = self._watched_vectors(video_rows, actions) * (1 + self.gates(bits))
        ages = gap_bucket(age_days, watched) if self.is_causal else age_bucket(age_days, watched)
        tokens = videos + self.actions(bits) + self.ages(ages) + self.places(self._place(watched))
        tokens = self.dropout(tokens)
        if self.num_recent:
            tokens, watched = self._compressed(tokens, watched)
        start = self.start.expand(tokens.shape[0], 1, -1)  # len() would freeze B in the export
        tokens = torch.cat([start, tokens], dim=1)  # (B, M, D)
        real = F.pad(watched, (1, 0), value=True)
        mask = self._mask(real, tokens)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return tokens, real

    def _watched_vectors(
        self, rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> Float[Tensor, "B L D"]:
        """Vectors of watched videos; other ones, if configured, where the watch was no long view."""
        videos = self.videos(rows)
        if self.plain_differences is None:
            return videos
        is_plain = actions % (2 * Action.POSITIVE) < Action.POSITIVE
        return videos + self.plain_differences(rows) * is_plain.unsqueeze(2)

    def _kept(self, watched: Bool[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
        """In training, forget a random share of the watches."""
        if not self.training or not self.item_dropout:
            return watched
        return watched & (torch.rand(watched.shape, device=watched.device) >= self.item_dropout)

    def _compressed(
        self, tokens: Float[Tensor, "B L D"], watched: Bool[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B l D"], Bool[Tensor, "B l"]]:
        """Older watches as the mean of their block; a block without a watch is padding."""
        missing = self.history_length - watched.shape[1]
        tokens, watched = F.pad(tokens, (0, 0, missing, 0)), F.pad(watched, (missing, 0))
        num_older = self.history_length - self.num_recent
        blocks = watched[:, :num_older].unflatten(1, (-1, self.block_length)).unsqueeze(3)  # (B, n, block, 1)
        sums = (tokens[:, :num_older].unflatten(1, (-1, self.block_length)) * blocks).sum(dim=2)
        counts = blocks.sum(dim=2)
        older = sums / counts.clamp(min=1)
        watched = torch.cat([counts.squeeze(2) > 0, watched[:, num_older:]], dim=1)
        return torch.cat([older, tokens[:, num_older:]], dim=1), watched

    def _place(self, watched: Bool[Tensor, "B L"]) -> Int64[Tensor, "B L"]:
        """Number of the watch, from the oldest (causal) or from the newest."""
        length = watched.shape[1]
        last = self.places.num_embeddings - 1
        if self.is_causal:
            return (watched.long().cumsum(dim=1) - 1).clamp(0, last)
        return torch.arange(length - 1, -1, -1, device=watched.device).clamp(max=last).expand(watched.shape)

    def _mask(self, real: Bool[Tensor, "B M"], tokens: Float[Tensor, "B M D"]) -> Float[Tensor, "B 1 m M"]:
        """Added to the attention logits: very low where a token may not look."""
        visible = real[:, None, None, :]
        if self.is_causal:
            length = real.shape[1]
            place = torch.arange(length, device=real.device)
            visible = visible & (place.unsqueeze(0) <= place.unsqueeze(1))
        lowest = torch.finfo(tokens.dtype).min
        return torch.zeros(visible.shape, dtype=tokens.dtype, device=real.device).masked_fill(
            ~visible, lowest
        )


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward block."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.mix = nn.Linear(dim, dim)
        self.forward_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)
        for into_stream in (self.mix, self.feed_forward[2]):
            nn.init.normal_(into_stream.weight, std=FRESH_SPREAD)
        for linear in (self.queries_keys_values, self.mix, self.feed_forward[0], self.feed_forward[2]):
            nn.init.zeros_(linear.bias)

    def forward(
        self, tokens: Float[Tensor, "B M D"], mask: Float[Tensor, "B 1 m M"]
    ) -> Float[Tensor, "B M D"]:
        """Tokens after one round of looking at each other."""
        tokens = tokens + self.dropout(self.attend(self.attention_norm(tokens), mask))
        return tokens + self.dropout(self.feed_forward(self.forward_norm(tokens)))

    def attend(
        self, tokens: Float[Tensor, "B M D"], mask: Float[Tensor, "B 1 m M"]
    ) -> Float[Tensor, "B M D"]:
        """Multi-head attention of every token to the real ones."""
        parts = self.queries_keys_values(tokens).unflatten(2, (3, self.num_heads, -1))  # (B, M, 3, heads, d)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, M, d)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.mix(mixed.transpose(1, 2).flatten(2))


def age_bucket(age_days: Float32[Tensor, "B L"], watched: Bool[Tensor, "B L"]) -> Int64[Tensor, "B L"]:
    """Logarithmic bucket of each age, counted from the newest watch of the user.

    Counting from there makes the result independent of the hour at which somebody asks.
    """
    newest = age_days.masked_fill(~watched, torch.inf).amin(dim=1, keepdim=True)
    return _bucket(age_days - newest)


def gap_bucket(age_days: Float32[Tensor, "B L"], watched: Bool[Tensor, "B L"]) -> Int64[Tensor, "B L"]:
    """Logarithmic bucket of the time since the watch before; 0 for the first."""
    before = F.pad(age_days, (1, 0))[:, :-1]
    first = watched & ~F.pad(watched, (1, 0))[:, :-1]
    return _bucket((before - age_days).masked_fill(first, 0.0))


def _bucket(days: Float32[Tensor, "B L"]) -> Int64[Tensor, "B L"]:
    return torch.log2(1 + (days * 24).clamp(min=0)).long().clamp(max=NUM_AGE_BUCKETS - 1)
