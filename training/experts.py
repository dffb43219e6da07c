"""Experts under several gates, and the penalty that keeps all experts in use.

Multi-gate mixture of experts (Ma et al., KDD 2018, equations 6 and 7), with interests in the place of tasks:
interest k is sum_e g_ke(x) f_e(x), the gate a softmax over the experts. Departures: an expert is a hidden
layer plus a weighted sum of the input's blocks, so that it starts as a pooling of the history and not as
noise; gates have a bias and start apart, see ``GATE_BIAS``; there are no towers after the mixture.

Shape letters: Q queries, P blocks of the input, D dimensions, E experts, K interests, H hidden units.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

BLOCK_SPREAD: Final = 1.0
"""Spread around 1 of an expert's fresh weights of the input: experts see different sides of it.
On logs with planted interests, half of it left the interests at a mean cosine of .98 (``max_readout``)."""
GATE_BIAS: Final = 3.0
"""Fresh preference of a gate for experts of its own. Equal gates give equal interests, which get equal
gradients; the preferences cover all experts evenly."""
OFFSET_SPREAD: Final = 0.01
"""Standard deviation of what a fresh expert says of an empty history: nothing else must be drowned by it."""


class Experts(nn.Module):
    """Maps an input of P blocks to K mixtures of E experts.

    With one expert every gate is 1: K equal outputs of a single tower.
    """

    def __init__(
        self,
        num_blocks: int,
        dim: int,
        *,
        num_experts: int,
        num_hidden: int,
        num_interests: int,
        dropout: float,
    ) -> None:
        super().__init__()
        width = num_blocks * dim
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Parameter(1 + BLOCK_SPREAD * torch.randn(num_experts, num_blocks, dim))
        self.to_hidden = nn.Linear(width, num_experts * num_hidden)
        self.to_output = nn.Parameter(torch.zeros(num_experts, num_hidden, dim))
        self.offsets = nn.Parameter(OFFSET_SPREAD * torch.randn(num_experts, dim))
        self.to_gates = nn.Linear(width, num_interests * num_experts)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.to_gates.weight, std=width**-0.5)
        with torch.no_grad():
            self.to_gates.bias.copy_(GATE_BIAS * _preferences(num_interests, num_experts).flatten())

    def forward(
        self, blocks: Float[Tensor, "Q P D"]
    ) -> tuple[Float[Tensor, "Q K D"], Float[Tensor, "Q K E"]]:
        """The mixtures, and the gates."""
        normed = self.norm(blocks.flatten(1))
        num_experts = self.blocks.shape[0]
        hidden = self.dropout(torch.relu(self.to_hidden(normed))).unflatten(1, (num_experts, -1))  # (Q, E, H)
        outputs = torch.einsum("qpd,epd->qed", blocks, self.blocks)
        outputs = outputs + torch.einsum("qeh,ehd->qed", hidden, self.to_output) + self.offsets
        gates = self.to_gates(normed).unflatten(1, (-1, num_experts)).softmax(dim=2)
        return gates @ outputs, gates


def expert_imbalance(gates: Float[Tensor, "Q K E"], asked: Bool[Tensor, " Q"]) -> Float[Tensor, ""]:
    """Squared coefficient of variation of the importance of the experts (Shazeer et al., ICLR 2017, eq. 6-7).

    The importance of an expert is the sum of its gates over the queries, here over all interests together:
    an interest may keep to its experts. 0: all alike; E - 1: one expert does everything.

    Args:
        asked: queries that count.
    """
    importance = (gates.sum(dim=1) * asked.unsqueeze(1)).sum(dim=0)  # (E,)
    return importance.var(correction=0) / importance.mean().square().clamp(min=torch.finfo(gates.dtype).tiny)


def _preferences(num_interests: int, num_experts: int) -> Float[Tensor, "{num_interests} {num_experts}"]:
    """1 where an expert is one of the gate's own: they are dealt out in turn."""
    interests, experts = torch.arange(num_interests).unsqueeze(1), torch.arange(num_experts)
    return ((experts % num_interests == interests) | (interests % num_experts == experts)).float()
