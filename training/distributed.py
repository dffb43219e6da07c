"""Several processes that train as one, started by ``torchrun``: gloo on CPUs, nccl on GPUs.

Every process draws the same batch and the same negatives, trains on its share of the users, and adds its
gradients to those of the others. So the rows that a step touches are known everywhere without a message, and
a run of n processes takes the same steps as one, up to the order of sums and the dropout masks.

Shape letters: B users of a batch, T targets.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor

from training.examples import Batch
from training.group import Group


def share(batch: Batch, group: Group) -> Batch:
    """The users of ``batch`` that this process trains on, with their targets."""
    if group.size == 1:
        return batch
    mine = np.arange(group.rank, len(batch.user_ids), group.size)
    targets = share_of_targets(batch, group)
    places, refusing, refused = batch.target_places, batch.turned_down_users, batch.turned_down_rows
    kept = np.zeros(0, np.int64) if refusing is None else np.flatnonzero(refusing % group.size == group.rank)
    return replace(
        batch,
        user_ids=batch.user_ids[mine],
        video_rows=batch.video_rows[mine],
        actions=batch.actions[mine],
        age_days=batch.age_days[mine],
        target_users=batch.target_users[targets] // group.size,
        target_rows=batch.target_rows[targets],
        target_weights=batch.target_weights[targets],
        target_places=None if places is None else places[targets],
        turned_down_users=None if refusing is None else refusing[kept] // group.size,
        turned_down_rows=None if refused is None else refused[kept],
        profile=None if batch.profile is None else batch.profile[mine],
    )


def share_of_targets(batch: Batch, group: Group) -> Int64[np.ndarray, " T"]:
    """Index of this process' targets among those of the batch."""
    return np.flatnonzero(batch.target_users % group.size == group.rank)


def add(group: Group, *parts: Tensor) -> None:
    """Replace each tensor by its sum over all processes."""
    if group.size > 1:
        for part in parts:
            dist.all_reduce(part)


def agree(text: str, group: Group) -> str:
    """What the first process says, for all; of the same length everywhere."""
    said = torch.tensor(list(text.encode()), dtype=torch.uint8)
    if group.size > 1:
        dist.broadcast(said, src=0)
    return bytes(said.tolist()).decode()


def join_group() -> Group:
    """The group that ``torchrun`` announces in the environment."""
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Group(dist.get_rank(), dist.get_world_size())
