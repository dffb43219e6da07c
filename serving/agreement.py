"""Whether what meets in one answer is of one release: interests, hits of the index, vectors in memory.

Interests and item vectors of different releases give scores that mean nothing, and nothing fails. So every
search is compared with the vectors in memory: the index says which score a video has, and the inner product
of interest and vector says which one it must have. A label on a collection would say what somebody meant to
put into it; the scores say what is in it.

Shape letters: K queries, D dimensions, M hits per query, S compared, V videos.
"""

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from features.bundle import Bundle
from features.merge import NO_VIDEO
from features.release import Release
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from serving.collection import collection_name
from serving.errors import ReleaseMismatchError
from serving.index import Hits

CHECKED_HITS: Final = 8
"""Per query, the best ones; 65 us for four queries over 100,000 videos."""
TOLERANCE: Final = 0.01
"""Of the product of both lengths: float32 sums in another order differ by 1e-5 of it."""


@runtime_checkable
class NamedVideos(Protocol):
    """Videos that one bundle has vectors of: a ``Bundle`` or ``LiveItems``."""

    @property
    def name(self) -> str:
        """``<model>/<version>``."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """Ids to rows; row i of ``vectors`` is row i + 1 here."""
        ...

    @property
    def vectors(self) -> Float32[np.ndarray, "V D"]:
        """Of the videos in ``vocabulary``."""
        ...


def require_release(release: Release, bundles: Mapping[str, Bundle]) -> None:
    """Return if the opened bundles, and the collections that are searched for them, are those of ``release``.

    Raises:
        ReleaseMismatchError: one is not.
    """
    for channel, named in release.bundles.items():
        if bundles[channel].name != named:
            raise ReleaseMismatchError(
                f"channel {channel!r} of release {release.version} is bundle {named}, "
                f"but {bundles[channel].name} was opened; restore {named} in FACET_HOME/bundles"
            )
    for channel, collection in release.collections.items():
        if (own := collection_name(bundles[channel].manifest)) != collection:
            raise ReleaseMismatchError(
                f"release {release.version} searches {collection!r} for channel {channel!r}, "
                f"but its bundle fills {own!r}; publish its bundles again"
            )


def require_agreement(queries: Float32[np.ndarray, "K D"], hits: Hits, videos: NamedVideos) -> None:
    """Return if most scores of ``hits`` follow from ``queries`` and ``videos``.

    Most, since the collection may be some seconds ahead while ``renew_catalogue`` brings new vectors of a few
    videos; hits of another release disagree nearly all.

    Raises:
        ReleaseMismatchError: they do not: the index holds another release than the one that asks.
    """
    ids = hits.video_ids[:, :CHECKED_HITS]
    says_anything = np.linalg.norm(queries, axis=1, keepdims=True) > 0  # (K, 1); zeros score 0 with all
    of_query, place = np.nonzero((ids != NO_VIDEO) & says_anything)  # (S,)
    if not len(of_query):
        return
    rows = videos.vocabulary.rows_of(ids[of_query, place])
    vectors, asked = videos.vectors[rows - 1], queries[of_query]  # (S, D); of unknown ones any vector
    wanted = np.einsum("sd,sd->s", asked, vectors)
    lengths = np.linalg.norm(asked, axis=1) * np.linalg.norm(vectors, axis=1)
    agrees = np.abs(hits.scores[of_query, place] - wanted) <= TOLERANCE * lengths
    agrees &= rows != PAD_ROW
    if 2 * agrees.sum() < len(agrees):
        raise ReleaseMismatchError(
            f"the index does not hold the vectors of bundle {videos.name}: {agrees.sum()} of {len(agrees)} "
            "scores are right; publish the release again"
        )
