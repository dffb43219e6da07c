"""Which channels and which of their interests found each candidate, for the answer and its explanation.

Shape letters: N candidates, K interests.
"""

import numpy as np
from jaxtyping import Int64

from features.merge import NO_VIDEO
from serving.channels import Found
from serving.channels.asking import Asked
from serving.result import NUM_NEAREST, Candidate, Interest, Origin, top_tags


def origins_of(video_ids: Int64[np.ndarray, " N"], asked: Asked) -> list[tuple[Origin, ...]]:
    """Origins of each candidate, in the order of the channels."""
    by_channel = [_origins(name, found, video_ids) for name, found in asked.found.items()]
    return [tuple(filter(None, own)) for own in zip(*by_channel, strict=True)]


def explained(asked: Asked, candidates: tuple[Candidate, ...]) -> tuple[Interest, ...]:
    """A report of every interest of every channel that has some."""
    reports = []
    for name, found in asked.found.items():
        if found.interests is None or found.hits is None:
            continue
        for k, weight in enumerate(found.interests.activation.tolist()):
            own = [candidate for candidate in candidates if candidate.is_of(name, k)]
            hits = found.hits.video_ids[k]
            hits = hits[hits != NO_VIDEO]
            is_searched, nearest = bool(found.interests.is_searched[k]), tuple(hits[:NUM_NEAREST].tolist())
            counts = len(hits), len(own)
            grounds = found.interests.grounds[k] if found.interests.grounds else None
            reports.append(Interest(name, k, weight, is_searched, *counts, top_tags(own), nearest, grounds))
    return tuple(reports)


def _origins(name: str, found: Found, video_ids: Int64[np.ndarray, " N"]) -> list[Origin | None]:
    """Of each candidate in one channel, ``None`` where the channel did not list it."""
    rank_of = {video_id: rank for rank, video_id in enumerate(found.lists.video_ids[0].tolist())}
    best, finders = found.lists.interests[0].tolist(), _finders(found, video_ids)
    known: dict[tuple[int, int], tuple[int, ...]] = {}
    origins: list[Origin | None] = []
    for video_id, code in zip(video_ids.tolist(), finders.tolist(), strict=True):
        rank = rank_of.get(video_id)
        if rank is None:
            origins.append(None)
            continue
        first = best[rank]
        if (interests := known.get((first, code))) is None:
            interests = known[first, code] = _best_first(first, code)
        origins.append(Origin(name, rank, interests))
    return origins


def _best_first(first: int, code: int) -> tuple[int, ...]:
    if first < 0:
        return ()
    return (first, *(k for k in range(code.bit_length()) if code >> k & 1 and k != first))


def _finders(found: Found, video_ids: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """Which interests found each candidate: bit k for interest k."""
    if found.hits is None:
        return np.zeros(len(video_ids), dtype=np.int64)
    hits = found.hits.video_ids
    order = hits.argsort(axis=None)
    ids, bits = hits.ravel()[order], np.left_shift(1, order // max(hits.shape[1], 1))
    until = np.append(0, bits.cumsum())  # an interest finds a video once, so that sums are unions
    return until[ids.searchsorted(video_ids, "right")] - until[ids.searchsorted(video_ids)]
