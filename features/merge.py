"""Hits of several interests to one ranked list; offline evaluation and serving run this same code.

A video that several interests found stays once, under the interest that scores it highest: the max read-out
of multi-interest retrieval, as in ComiRec (Cen et al., Controllable Multi-Interest Framework for
Recommendation, KDD 2020). ``features/arrange.py`` trades score for variety afterwards.

Shape letters: B users, K interests, M hits per interest, N results.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64

from features.merge_config import POPULAR, Fusion, MergeConfig
from features.top import NO_PLACE, best_of

FLOOR: Final = 0.01
"""Smallest number that enters a geometric mean."""
NO_VIDEO: Final = -1
"""Fills the places of a result that nothing was found for."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Best first; ``video_ids`` and ``interests`` are -1 and ``scores`` -inf where nothing is left."""

    video_ids: Int64[np.ndarray, "B N"]
    scores: Float[np.ndarray, "B N"]
    interests: Int64[np.ndarray, "B N"]


def merge_hits(
    video_ids: Int64[np.ndarray, "B K M"], scores: Float[np.ndarray, "B K M"], top_n: int
) -> Merged:
    """The ``top_n`` best distinct videos per user; ties go to the smaller id, then the lower interest.

    Args:
        video_ids: ``NO_VIDEO`` where an interest found fewer than M.
    """
    num_users, num_interests, depth = video_ids.shape
    width = num_interests * depth
    if not video_ids.size:
        return nothing(num_users, min(top_n, width))
    row_start = np.arange(num_users)[:, None] * width
    by_id = np.argsort(video_ids.reshape(num_users, width), axis=1, kind="stable") + row_start
    ids, values = video_ids.ravel()[by_id].ravel(), scores.ravel()[by_id].ravel()

    is_first = np.append(True, ids[1:] != ids[:-1])  # of the hits of one video, lower interests first
    is_first[::width] = True
    video_of = is_first.cumsum() - 1
    best = np.fmax.reduceat(values, np.flatnonzero(is_first))
    winners = np.flatnonzero((values == best[video_of]) & (ids != NO_VIDEO))
    winners = winners[np.diff(video_of[winners], prepend=-1) > 0]
    kept = np.full((num_users, width), -np.inf, dtype=values.dtype)
    kept.ravel()[winners] = values[winners]

    places, kept = best_of(kept, top_n)
    missing, hits = places == NO_PLACE, places + row_start
    interests = by_id.ravel()[hits] % width // depth
    return Merged(np.where(missing, NO_VIDEO, ids[hits]), kept, np.where(missing, -1, interests))


def merge_interests(
    video_ids: Int64[np.ndarray, "B K M"],
    scores: Float[np.ndarray, "B K M"],
    weights: Float[np.ndarray, "B K"],
    top_n: int,
    *,
    min_share: float | None = None,
) -> Merged:
    """By score as ``merge_hits``, or with ``min_share`` by turns as ``share_hits``."""
    if min_share is None:
        return merge_hits(video_ids, scores, top_n)
    return share_hits(video_ids, scores, weights, min_share, top_n)


def share_hits(
    video_ids: Int64[np.ndarray, "B K M"],
    scores: Float[np.ndarray, "B K M"],
    weights: Float[np.ndarray, "B K"],
    min_share: float,
    top_n: int,
) -> Merged:
    """As ``merge_hits``, but interests take turns, so that each beginning of a list is shared by weight.

    Interests that found something get ``min_share`` of the places each, and of the rest as much as their
    weight says (all alike if the least shares leave no rest). The j-th video of an interest, from 0, stands
    where (2 j + 1) / share says, as seats are given by Sainte-Lague; one that several found is of whoever
    reaches it first, ties go to the lower interest. The score of a video is minus its place.

    Args:
        weights: at least 0; those of one user are compared.
    """
    num_users, num_interests, depth = video_ids.shape
    is_there = video_ids != NO_VIDEO
    if not video_ids.size:
        return nothing(num_users, min(top_n, num_interests * depth))
    shares = _shares(weights, is_there.any(axis=2), min_share)[:, :, None]
    flat = (num_users, num_interests * depth)
    ids = video_ids.reshape(flat)
    reached = np.where(is_there, (2 * np.arange(depth) + 1) / shares, np.inf).reshape(flat)
    order = np.lexsort((reached, ids), axis=1)
    ordered = np.take_along_axis(ids, order, axis=1)
    is_first = np.ones(flat, dtype=bool)
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    is_own = np.zeros(flat, dtype=bool)
    np.put_along_axis(is_own, order, is_first & (ordered != NO_VIDEO), axis=1)

    own = is_own.reshape(video_ids.shape)
    turn = np.where(own, (2 * own.cumsum(axis=2) - 1) / shares, np.inf).reshape(flat)
    places, _ = best_of(-turn, top_n)
    missing, hits = places == NO_PLACE, np.maximum(places, 0)
    by_place = np.broadcast_to(-np.arange(places.shape[1], dtype=scores.dtype), places.shape)
    return Merged(
        np.where(missing, NO_VIDEO, np.take_along_axis(ids, hits, axis=1)),
        np.where(missing, -np.inf, by_place),
        np.where(missing, -1, hits // depth),
    )


def nothing(num_users: int, width: int) -> Merged:
    """Lists of channels that know nothing of these users."""
    nobody = np.full((num_users, width), NO_VIDEO, dtype=np.int64)
    return Merged(nobody, np.full(nobody.shape, -np.inf), nobody)


def fuse(lists: Mapping[str, Merged], config: MergeConfig, top_n: int) -> Merged:
    """The ``top_n`` best videos of the channels that answered, by name; one channel alone keeps its scores.

    Who did not answer is not in ``lists``: the others share its weight. Who knows nothing of a user is there
    with an empty list. Nothing is found if none of those that answered has a weight, and of users whom only
    ``popular`` knows: their list is the popular one as it is.

    Args:
        lists: one per channel, of the same users, each ``config.depth`` deep.
    """
    weights = config.asked(lists)
    if POPULAR in weights:
        lists = {**lists, POPULAR: _of_known(lists)}
    asked = [lists[name] for name in weights]
    if len(asked) > 1:
        return merge_channels(asked, list(weights.values()), top_n, fusion=config.fusion)
    if asked:
        [own] = asked
        return Merged(own.video_ids[:, :top_n], own.scores[:, :top_n], own.interests[:, :top_n])
    return nothing(max((len(found.video_ids) for found in lists.values()), default=1), 0)


def merge_channels(
    lists: Sequence[Merged], weights: Sequence[float], top_n: int, *, fusion: Fusion = "arithmetic"
) -> Merged:
    """The ``top_n`` best videos of several channels, whose scores are of different kinds.

    ``arithmetic``: the scores of a list become 1 for its first and 0 for its last (by rank where all are
    equal, as in a popular fill); weighted sum, where a video that a channel did not find has 0.
    ``geometric``: the weighted geometric mean of the same numbers, none of them below ``FLOOR``: a video must
    please every channel. ``reciprocal_rank``: the sum of weight / (60 + rank) (Cormack, Clarke and Buettcher,
    SIGIR 2009). The interest of a video is that of the first channel that names one.

    Args:
        lists: one per channel, of the same users; deeper than ``top_n`` lets channels agree more often.
        weights: of the channels, at least 0.
    """
    if len(lists) != len(weights) or min(weights, default=0) < 0 or not sum(weights):
        raise ValueError(f"{len(lists)} channels need as many weights, none below 0 and one above: {weights}")
    shares = np.asarray(weights, dtype=float) / sum(weights)
    floor = np.log(FLOOR) if fusion == "geometric" else 0.0
    worth = [share * (_calibrated(found, fusion) - floor) for found, share in zip(lists, shares, strict=True)]
    ids = np.concatenate([found.video_ids for found in lists], axis=1)
    values = np.concatenate(worth, axis=1)
    interests = np.concatenate([found.interests for found in lists], axis=1)
    if not ids.size:
        return nothing(len(ids), 0)

    order = np.argsort(ids, axis=1, kind="stable")
    ids, values, interests = (np.take_along_axis(part, order, axis=1) for part in (ids, values, interests))
    is_first = np.append(True, ids.ravel()[1:] != ids.ravel()[:-1])
    is_first[:: ids.shape[1]] = True
    starts = np.flatnonzero(is_first)
    total = np.full(ids.size, -np.inf)
    total[starts] = np.add.reduceat(values.ravel(), starts) + floor
    total[ids.ravel() == NO_VIDEO] = -np.inf
    # Hits of one video stand in the order of the channels.
    named = np.where(interests.ravel() >= 0, np.arange(ids.size), ids.size)
    first_named = np.minimum.reduceat(named, starts)
    by_video = interests.ravel().copy()
    by_video[starts] = np.append(interests.ravel(), -1)[first_named]
    places, scores = best_of(total.reshape(ids.shape), top_n)
    missing = places == NO_PLACE
    found_ids = np.take_along_axis(ids, np.maximum(places, 0), axis=1)
    found_by = np.take_along_axis(by_video.reshape(ids.shape), np.maximum(places, 0), axis=1)
    return Merged(np.where(missing, NO_VIDEO, found_ids), scores, np.where(missing, -1, found_by))


def _shares(
    weights: Float[np.ndarray, "B K"], is_active: Bool[np.ndarray, "B K"], min_share: float
) -> Float[np.ndarray, "B K"]:
    """Of each active interest, adding up to 1; 1 for the others, which have nothing to place."""
    num_active = np.maximum(is_active.sum(axis=1, keepdims=True), 1)
    asked = np.where(is_active, weights.astype(np.float64), 0.0)
    total = asked.sum(axis=1, keepdims=True)
    alike = 1 / num_active
    by_weight = np.where(total > 0, asked / np.where(total > 0, total, 1), alike)
    least = np.minimum(min_share, alike)
    shares = least + (1 - num_active * least) * by_weight
    return np.where(is_active & (shares > 0), shares, np.where(is_active, 1e-9, 1.0))


def _of_known(lists: Mapping[str, Merged]) -> Merged:
    """The popular list of those users for whom another channel found something."""
    popular = lists[POPULAR]
    known = np.zeros((len(popular.video_ids), 1), dtype=bool)
    for name, found in lists.items():
        if name != POPULAR:
            known |= (found.video_ids != NO_VIDEO).any(axis=1, keepdims=True)
    return Merged(
        np.where(known, popular.video_ids, NO_VIDEO),
        np.where(known, popular.scores, -np.inf),
        popular.interests,
    )


def _calibrated(found: Merged, fusion: Fusion) -> Float[np.ndarray, "B N"]:
    if fusion == "reciprocal_rank":
        return np.broadcast_to(1 / (60 + np.arange(found.scores.shape[1])), found.scores.shape)
    scores = np.where(found.video_ids == NO_VIDEO, np.nan, found.scores).astype(float)
    if not scores.size:
        return scores
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # users for whom the channel found nothing
        lowest, highest = np.nanmin(scores, axis=1, keepdims=True), np.nanmax(scores, axis=1, keepdims=True)
    differ = highest > lowest
    num_found = np.maximum((~np.isnan(scores)).sum(axis=1, keepdims=True), 1)
    by_rank = 1 - np.arange(scores.shape[1]) / num_found  # scores that are all one say nothing
    shares = np.where(differ, (scores - lowest) / np.where(differ, highest - lowest, 1), by_rank)
    shares[np.isnan(scores)] = 0
    return np.log(np.maximum(shares, FLOOR)) if fusion == "geometric" else shares
