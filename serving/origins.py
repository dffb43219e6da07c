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
    """In plain Python: a few hundred ids cost less than the calls of numpy would."""
    listed, best = found.lists.video_ids[0].tolist(), found.lists.interests[0].tolist()
    wanted, shared = set(video_ids.tolist()) - {NO_VIDEO}, _shared(found)
    origins = {}
    for rank, (video_id, first) in enumerate(zip(listed, best, strict=True)):
        if video_id in wanted:
            others = [k for k in shared.get(video_id, ()) if k != first]
            origins[video_id] = Origin(name, rank, (first, *others) if first >= 0 else ())
    return origins


def _shared(found: Found) -> dict[int, list[int]]:
    """Videos that more than one interest found, with these in ascending order."""
    if found.hits is None:
        return {}
    ids, counts = np.unique(found.hits.video_ids, return_counts=True)
    shared = np.isin(found.hits.video_ids, ids[counts > 1])
    found_by: dict[int, list[int]] = {}
    for k, place in np.argwhere(shared).tolist():
        found_by.setdefault(int(found.hits.video_ids[k, place]), []).append(k)
    return found_by
