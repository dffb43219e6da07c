"""REMI: ComiRec-SA, trained with hard negatives and with attention that is kept from single watches.

Xie et al., RecSys 2023. Interest-aware hard negatives (section 3.2) weigh exp(beta * score) in
``training/losses.py``; routing regularization (section 3.3) is the variance of the attention of an interest
over the history, ``training/disagreement.py``. Departures: the mean of the variances, in units of even
attention, in place of the squared norm of the diagonal of the covariance, so that long and short histories
weigh alike; beta acts on cosines divided by the temperature; and those of ``training/models/comirec.py``.

Shape letters: B users, L watches.
"""

from jaxtyping import Float32, Int64
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from training.disagreement import routing_variance
from training.models import Run, Trained
from training.models.comirec import SelfAttentionNetwork
from training.network import Routed
from training.pooling import pool, pool_prefixes
from training.tokens import TokensConfig
from training.trainer import Recipe, train_interests


class RemiConfig(TokensConfig):
    """Size of the network, sharpness of the softmax, and the two terms of REMI."""

    hard_beta: NonNegativeFloat = 0.1
    """Negatives weigh exp(beta * score / temperature): the hard ones count more. From .5 on, interests of the
    first epochs turn to one direction (mean cosine above .93 on a log with planted interests)."""
    routing_variance: NonNegativeFloat = 0.01
    """Weight of the variance of an interest's attention over the watches."""


class RemiNetwork(SelfAttentionNetwork):
    """ComiRec-SA that reports the variance of its attention."""

    def __init__(self, num_rows: int, config: RemiConfig) -> None:
        super().__init__(num_rows, config)
        if config.routing_variance:
            self.penalty_weights = {"routing_variance": config.routing_variance}

    def route(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        tokens, logits, real = self.attend(video_rows, actions)
        pooled, weights = pool(tokens, logits, real)
        return Routed(
            F.normalize(pooled, dim=2), penalties={"routing_variance": routing_variance(weights, real)}
        )

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``; the variance is that of the whole history."""
        tokens, logits, real = self.attend(video_rows, actions)
        pooled = pool_prefixes(tokens, logits, real).flatten(0, 1)
        _, weights = pool(tokens, logits, real)
        return Routed(
            F.normalize(pooled, dim=2), penalties={"routing_variance": routing_variance(weights, real)}
        )


Config = RemiConfig


def train(config: RemiConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(Recipe(config, lambda items, _: RemiNetwork(items.num_rows, config)), run)
