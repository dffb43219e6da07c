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
    found_in = {name: _origins(name, found, video_ids) for name, found in asked.found.items()}
    return [
        tuple(origin for own in found_in.values() if (origin := own.get(video_id)) is not None)
        for video_id in video_ids.tolist()
    ]


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


def _origins(name: str, found: Found, video_ids: Int64[np.ndarray, " N"]) -> dict[int, Origin]:
    listed, best = found.lists.video_ids[0], found.lists.interests[0]
    rank_of = {video_id: rank for rank, video_id in enumerate(listed.tolist()) if video_id != NO_VIDEO}
    known = [video_id for video_id in video_ids.tolist() if video_id in rank_of]
    interests = _interests(found, np.array(known, dtype=np.int64))
    origins = {}
    for video_id, all_own in zip(known, interests, strict=True):
        rank = rank_of[video_id]
        first = int(best[rank])
        own = () if first < 0 else (first, *(k for k in all_own if k != first))
        origins[video_id] = Origin(name, rank, own)
    return origins


def _interests(found: Found, video_ids: Int64[np.ndarray, " N"]) -> list[list[int]]:
    """Interests that found each video, in ascending order."""
    if found.hits is None:
        return [[] for _ in video_ids]
    found_by = np.stack([np.isin(video_ids, own) for own in found.hits.video_ids])  # (K, N)
    return [np.flatnonzero(column).tolist() for column in found_by.T]
