"""SASRec: one interest per user, the newest token of a causal transformer.

Kang and McAuley, ICDM 2018. The interest after watch l is the output at l, scored against the same video
table that the history reads (equation 6, shared item embedding). Departures: softmax over sampled negatives
in place of one negative and binary cross-entropy; cosines in place of inner products; places count from the
oldest watch read; what was done and the time since the watch before are added to the tokens
(``training/encoder.py``); a start token stands first. The objective is the paper's, next item; with
``set_to_set`` only the newest watch of each example trains the network, which then learns little.

Shape letters: B users, L watches, D dimensions, N videos.
"""

from jaxtyping import Float, Float32, Int64
from pydantic import NonNegativeInt
from torch import Tensor
from torch.nn import functional as F

from training.config import EncoderConfig, Objective
from training.encoder import HistoryEncoder
from training.models import Run, Trained
from training.network import InterestNetwork, Routed
from training.tokens import Nothing, One, Zero
from training.trainer import Recipe, train_interests


class SasrecConfig(EncoderConfig):
    """Size of the network and sharpness of the softmax."""

    num_interests: One = 1
    """Always 1."""
    objective: Objective = "next_item"
    """What predicts what, see ``training/examples.py``; every prefix the next positive, as in the paper."""
    num_layers: NonNegativeInt = 2
    """Transformer layers over the history; the paper has two."""
    presence_weight: Zero = 0.0
    """Always 0: the network does not predict which interests get a target."""
    num_recent: Nothing = 0
    """Always 0: blocks of watches would mix prefixes."""

    @property
    def is_causal(self) -> bool:
        """Whatever the objective."""
        return True


class SasrecNetwork(InterestNetwork):
    """Reads a causal transformer at the newest watch."""

    def __init__(self, num_rows: int, config: SasrecConfig) -> None:
        super().__init__(num_rows, temperature=config.temperature, learn_temperature=config.learn_temperature)
        self.encoder = HistoryEncoder(num_rows, config)

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B 1 D"]:
        """See ``InterestNetwork``."""
        tokens, _ = self.encoder(video_rows, actions, age_days)
        return F.normalize(tokens[:, -1:], dim=2)

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        tokens, _ = self.encoder(video_rows, actions, age_days)
        return Routed(F.normalize(tokens[:, 1:].flatten(0, 1).unsqueeze(1), dim=2))  # without the start

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return F.normalize(self.encoder.videos(rows), dim=1)


Config = SasrecConfig


def train(config: SasrecConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(Recipe(config, lambda items, _: SasrecNetwork(items.num_rows, config)), run)
