"""Candidates of many users from one bundle, from several, or from a release, as serving would give them.

Shape letters: B users.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from features.bundle import open_bundle
from features.channels import open_channels, reopen_channels
from features.errors import BadInputError
from features.lake import Lake
from features.live_items import items_at, live_items
from features.merge import NO_VIDEO, Merged
from features.merge_config import NO_CAP, ImpressionCap, MergeConfig, parse_merge, read_merge_config
from features.positives import PositiveRule
from features.release import current_release, find_release, open_registry
from features.schema import INTEREST, RANK, SCORE, USER_ID, VIDEO_ID
from features.settings import Settings
from training.dataset import WatchLog
from training.ranked import Past, Ranker
from training.ranking import open_ranker, rank_in_blocks
from training.union import UnionRanker, common_rule

LIVE: Final = "live"
RANKED_SCHEMA: Final = pa.schema(
    [
        pa.field(USER_ID, pa.int64()),
        pa.field(RANK, pa.int64()),
        pa.field(VIDEO_ID, pa.int64()),
        pa.field(SCORE, pa.float64()),
        pa.field(INTEREST, pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Source:
    """What ranks, the rule of positives that its histories need, and how often it shows a video."""

    ranker: Ranker
    rule: PositiveRule
    cap: ImpressionCap = NO_CAP


def source_of_bundle(path: Path) -> Source:
    """One bundle: every user gets min(top_n, videos of the bundle not seen yet) rows.

    Interest is -1, and the score of an ``interests`` bundle 0, where the popular order filled the place.
    """
    bundle = open_bundle(path)
    return Source(open_ranker(bundle), bundle.manifest.rule)


def source_of_union(
    bundles: Sequence[str | Path], merge: MergeConfig, moment: datetime, *, settings: Settings
) -> Source:
    """Several bundles, fused; popular videos fill up, as in serving.

    Args:
        bundles: paths, or ``NAME=PATH``, see ``features/channels.py``.
        moment: the videos are those that serving would have known then.

    Raises:
        BadInputError: the weights do not fit the channels, or two bundles fill one.
    """
    channels = open_channels(bundles)
    merge.require_fit(channels)
    items = items_at(channels, moment, settings)
    return Source(UnionRanker.of(channels, merge, items), common_rule(channels), merge.cap)


def source_of_release(version: str, *, settings: Settings, merge: Sequence[str] = ()) -> Source:
    """A release in the registry: what ``/v1/recall`` answers from the same histories.

    Args:
        version: of the release, or ``live``.
        merge: settings of the merge, in place of the release's own.

    Raises:
        BadInputError: there is no such release.
    """
    engine = open_registry(settings)
    release = current_release(engine) if version == LIVE else find_release(engine, version)
    if release is None:
        raise BadInputError(f"there is no release {version!r}; `facet publish` makes one")
    channels = reopen_channels(release.bundles, settings)
    chosen = parse_merge(merge, release.merge)
    ranker = UnionRanker.of(channels, chosen, live_items(channels, settings))
    return Source(ranker, common_rule(channels), chosen.cap)


def choose_source(
    bundles: Sequence[str],
    union_file: Path | None,
    release: str | None,
    *,
    moment: datetime,
    settings: Settings,
    merge: Sequence[str] = (),
) -> Source:
    """What the options of the command line name.

    Args:
        moment: of the histories; a union knows the videos of then, a release those of today.
        merge: settings of the merge, in place of those of the union or of the release.

    Raises:
        BadInputError: they name nothing, or two things.
    """
    if bool(bundles) == bool(release) or (union_file and not bundles):
        raise BadInputError("name one --bundle, several and their --union, or a --release")
    if release:
        return source_of_release(release, settings=settings, merge=merge)
    if len(bundles) == 1 and not union_file and not merge:
        return source_of_bundle(Path(bundles[0]))
    base = read_merge_config(union_file) if union_file else MergeConfig()
    return source_of_union(bundles, parse_merge(merge, base), moment, settings=settings)


def recall_batch(
    source: Source | Path,
    users: Int64[np.ndarray, " B"],
    as_of: datetime,
    top_n: int,
    *,
    settings: Settings,
) -> pa.Table:
    """``user_id, rank, video_id, score, interest`` from the histories before ``as_of``.

    Args:
        source: a path is that of one bundle.
    """
    if isinstance(source, Path):
        source = source_of_bundle(source)
    past = Past.read(WatchLog(Lake(settings), as_of, source.rule), as_of, source.cap)
    blocks = rank_in_blocks(source.ranker, past, np.asarray(users, dtype=np.int64), top_n)
    tables = [_rows(user_ids, ranked.lists) for user_ids, ranked in blocks]
    return pa.concat_tables(tables) if tables else RANKED_SCHEMA.empty_table()


def read_users(path: Path) -> Int64[np.ndarray, " B"]:
    """The ``user_id`` column of a Parquet file, in its order.

    Raises:
        BadInputError: it is no Parquet file with a column ``user_id`` of integers without nulls.
    """
    try:
        column = pq.read_table(path, columns=[USER_ID])[USER_ID].combine_chunks().cast(pa.int64())
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadInputError(
            f"{path} is no Parquet file with a column {USER_ID} of integers: {error}"
        ) from error
    if column.null_count:
        raise BadInputError(f"{path} holds {column.null_count} rows without {USER_ID}; leave them out")
    return column.to_numpy()


def _rows(user_ids: Int64[np.ndarray, " B"], lists: Merged) -> pa.Table:
    users, ranks = np.nonzero(lists.video_ids != NO_VIDEO)
    columns = [user_ids[users], ranks, lists.video_ids[users, ranks], lists.scores[users, ranks]]
    return pa.table([*columns, lists.interests[users, ranks]], schema=RANKED_SCHEMA)
