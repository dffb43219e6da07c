"""What networks over ``WatchTokens`` share: the video side, and pooling by attention logits.

Shape letters: B users, L watches, K interests, D dimensions, N videos.
"""

from abc import abstractmethod

from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from training.network import InterestNetwork, Routed
from training.pooling import pool, pool_prefixes
from training.tokens import TokensConfig, WatchTokens


class TokensNetwork(InterestNetwork):
    """Reads watch tokens; a video's vector is that of the same table."""

    def __init__(self, num_rows: int, config: TokensConfig) -> None:
        super().__init__(num_rows, temperature=config.temperature, learn_temperature=config.learn_temperature)
        self.tokens = WatchTokens(num_rows, config)

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return self.tokens.item_vectors(rows)


class PooledNetwork(TokensNetwork):
    """Pools the history K times, each time with its own attention logits."""

    @abstractmethod
    def attend(
        self, video_rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B L K"], Bool[Tensor, "B L"]]:
        """Tokens, the attention logits of each interest over them, and which are real."""

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``."""
        pooled, _ = pool(*self.attend(video_rows, actions))
        return F.normalize(pooled, dim=2)

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        pooled = pool_prefixes(*self.attend(video_rows, actions)).flatten(0, 1)
        return Routed(F.normalize(pooled, dim=2))
