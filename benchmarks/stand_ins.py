"""How far is a stand-in from the video itself, where a history holds videos that training never saw?

    python -m benchmarks.stand_ins --home DIR [--users 3000] [--videos 3000] [--days 10] [--share 0.2]

A share of the videos of a simulated log, seeded, is kept from training: the log is copied without their
watches to ``DIR/kept``, where one bundle with side features is trained until the day before the last. Then
the whole histories of that moment are read in three ways: without the unknown videos, with the known video
that is most like each (``features/overlay.py``), and exactly. Exact is what a program with rows for them
would give: a copy of the extractor whose tables are longer by one row per unknown video, that of its side
features without an id. Prints the cosine of each interest with the exact one, over users with an unknown
video in the newest ``history_length`` watches, and recall_at_50 of the last day, all videos being searched.
Writes ``DIR/bench/stand_ins.json``.
"""

import argparse
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pyarrow as pa
from onnx import numpy_helper

from features.bundle import EXTRACTOR, Bundle, open_bundle
from features.capacity import ActivationTable, Pruner
from features.days import add_days, end_of
from features.history import pad_histories
from features.ingest import ingest
from features.item_encoder import encode_videos
from features.lake import Lake
from features.live_items import LiveItems, items_at
from features.merge_config import INTERESTS
from features.schema import PAD_ROW, VIDEO_ID, VIDEOS
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from features.vocabulary import Vocabulary
from training.catalogue import Catalogue
from training.cold_videos import choose_cold, copy_without
from training.dataset import IdLists, WatchLog
from training.evaluation import judge, part_of
from training.intervals import mean_interval, paired_interval
from training.metrics import MAIN_METRIC
from training.ranked import Past
from training.ranking import InterestRanker, exported_extractor
from training.run import train
from training.settings import TrainingSettings

LAST_DAY: Final = "2026-03-21"
SIDES: Final = ("side_features=uploader_id,tag_ids,duration", "id_dropout=0.1")
WAYS: Final = ("left out", "stand-in", "exact")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read histories: a program, and which video has which of its rows."""

    program: Path
    vocabulary: Vocabulary


def main(arguments: argparse.Namespace) -> None:
    """Simulate, train, read, print."""
    whole, kept = (Settings(home=arguments.home / name) for name in ("whole", "kept"))
    bundle, cold_ids = trained(arguments, whole, kept)
    until = end_of(add_days(LAST_DAY, -1))
    live = items_at({INTERESTS: bundle}, until, whole)[INTERESTS]
    readings = readings_of(bundle, live, arguments.home / "longer.onnx")
    log = WatchLog(Lake(whole), end_of(LAST_DAY), whole.rule)
    past, catalogue = Past.read(log, until), Catalogue.read(log)
    targets = log.targets(until, end_of(LAST_DAY))
    users = targets.keys[has_unknown(past, targets.keys, bundle)]
    lines = judged(readings, bundle, live, past, part_of(targets, users), catalogue)
    facts = {
        "name": "stand_ins",
        "num_cold": len(cold_ids),
        "num_users": len(users),
        "share_unknown": share_unknown(past, users, bundle),
        "cases": lines,
        "config": {name: getattr(arguments, name) for name in ("users", "videos", "days", "share", "seed")},
        "machine": platform.platform(),
    }
    place = arguments.home / "bench" / "stand_ins.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(facts, indent=1) + "\n")
    sys.stdout.write(json.dumps(facts, indent=1) + "\n")


def trained(arguments: argparse.Namespace, whole: Settings, kept: Settings) -> tuple[Bundle, np.ndarray]:
    """A bundle of the log without some videos, and these; what is there already is taken."""
    config = SimulationConfig(
        num_users=arguments.users,
        num_videos=arguments.videos,
        num_uploaders=max(arguments.videos // 12, 5),
        num_days=arguments.days,
        last_day=LAST_DAY,
    )
    lake = Lake(whole)
    if not lake.has(VIDEOS):
        simulate(config, whole)
        ingest(config.days, settings=whole)
    ids = lake.read_days(VIDEOS, [LAST_DAY])[VIDEO_ID].to_numpy()
    cold_ids = choose_cold(ids, arguments.share, arguments.seed)
    if not Lake(kept).has(VIDEOS):
        copy_without(whole, kept, cold_ids)
    paths = sorted((kept.bundles / "single_activation").glob("2*"))
    if not paths:
        untracked = TrainingSettings(mlflow_uri="off", train_threads=1)
        until = end_of(add_days(LAST_DAY, -1))
        options = [*SIDES, *arguments.set]
        paths = [train("single_activation", until, settings=kept, overrides=options, training=untracked)]
    return open_bundle(paths[-1]), cold_ids


def readings_of(bundle: Bundle, live: LiveItems, longer: Path) -> dict[str, Reading]:
    """The three ways; writes the program ``longer``."""
    is_new = bundle.vocabulary.rows_of(live.video_ids) == PAD_ROW
    new = live.items.filter(is_new)
    lengthen(bundle, new, longer)
    ids = np.concatenate([bundle.video_ids, new[VIDEO_ID].to_numpy()])
    own = bundle.path / EXTRACTOR
    return {
        "left out": Reading(own, bundle.vocabulary),
        "stand-in": Reading(own, live.history_vocabulary),
        "exact": Reading(longer, Vocabulary(ids)),
    }


def lengthen(bundle: Bundle, videos: pa.Table, program: Path) -> None:
    """The extractor of ``bundle`` with a row more for each of ``videos``, at ``program``.

    The export names tables as it likes, so what a table holds is told by its rows of the known videos.
    """
    model = onnx.load(bundle.path / EXTRACTOR)
    known, new = (bundle.item_fields.rows_of(part) for part in (bundle.items, videos))
    found: list[str] = []
    for tensor in model.graph.initializer:
        if not tensor.dims or tensor.dims[0] != bundle.vocabulary.num_rows:
            continue
        table = numpy_helper.to_array(tensor)
        fields = [name for name in known if is_same(known[name], table[PAD_ROW + 1 :])]
        if fields:
            found.append(fields[0])
            more = new[fields[0]]
        elif np.array_equal(table[PAD_ROW + 1 :], bundle.vectors):
            found.append("vectors")
            more = encode_videos(bundle, videos)
        elif tensor.name.endswith(("ids.weight", "differences.weight")):
            found.append("id")
            more = np.zeros((len(videos), table.shape[1]), dtype=table.dtype)
        else:
            raise RuntimeError(f"nobody knows what the table {tensor.name} of the extractor holds")
        width = max(table.shape[1], more.shape[1])
        longer = np.concatenate([padded(table, width), padded(more, width)])
        tensor.CopyFrom(numpy_helper.from_array(longer, tensor.name))
    if missing := {*known, "vectors", "id"} - set(found):
        raise RuntimeError(f"the extractor has no table of {', '.join(sorted(missing))}")
    onnx.save(model, program)


def is_same(rows: np.ndarray, table: np.ndarray) -> bool:
    """Whether both hold the same values, however many empty columns stand behind them."""
    if rows.dtype != table.dtype:
        return False
    width = max(rows.shape[1], table.shape[1])
    return np.array_equal(padded(rows, width), padded(table, width))


def padded(rows: np.ndarray, width: int) -> np.ndarray:
    """With columns of zeros behind."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


def has_unknown(past: Past, users: np.ndarray, bundle: Bundle) -> np.ndarray:
    """Whether the newest watches of each user hold a video without a row."""
    length = bundle.manifest.history_length
    newest = [np.asarray(each.video_ids)[-length:] for each in past.histories.histories(users)]
    return np.array([bool((bundle.vocabulary.rows_of(ids) == PAD_ROW).any()) for ids in newest], dtype=bool)


def share_unknown(past: Past, users: np.ndarray, bundle: Bundle) -> float:
    """Share of the watches in these users' histories whose video has no row."""
    ids = np.concatenate([np.asarray(each.video_ids) for each in past.histories.histories(users)])
    return float((bundle.vocabulary.rows_of(ids) == PAD_ROW).mean())


def judged(
    readings: dict[str, Reading],
    bundle: Bundle,
    live: LiveItems,
    past: Past,
    targets: IdLists,
    catalogue: Catalogue,
) -> list[dict[str, object]]:
    """One line per way."""
    users, length = targets.keys, bundle.manifest.history_length
    histories = past.histories.histories(users)
    interests, judgements, indexed = {}, {}, live.indexed
    for name in WAYS:
        reading = readings[name]
        extract = exported_extractor(reading.program)
        batch = pad_histories(histories, reading.vocabulary, length=length, now=past.moment)
        interests[name] = extract(batch)[0]  # (B, K, D), unit vectors
        ranker = InterestRanker(
            extract,
            reading.vocabulary,
            indexed.vectors,
            history_length=length,
            pruner=Pruner.of(ActivationTable(bundle.activation, bundle.manifest.num_interests)),
            searched=Vocabulary(indexed.video_ids),
        )
        judgements[name] = judge(ranker, past, targets, catalogue)
    lines: list[dict[str, object]] = []
    for name in WAYS:
        cosines = (interests[name] * interests["exact"]).sum(axis=2)  # (B, K)
        against = paired_interval(judgements[name], judgements["exact"])
        lines.append(
            {
                "name": name,
                "cosine": float(cosines.mean()),
                "cosine_5_percent": float(np.quantile(cosines, 0.05)),
                "recall_at_50": judgements[name].metrics[MAIN_METRIC],
                "interval": mean_interval(judgements[name].main),
                "against_exact": against,
            }
        )
    return lines


def parse_arguments() -> argparse.Namespace:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--users", type=int, default=3000)
    parser.add_argument("--videos", type=int, default=3000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_arguments())
