"""Are videos found that nobody has watched yet, by their uploader, tags and side features?

    python -m benchmarks.cold_videos 2022-04-25T00:00+08:00 \\
        2022-04-25T00:00+08:00..2022-05-01T00:00+08:00 --home /tmp/cold \\
        --train "all=side_features=uploader_id+tag_ids+duration,id_dropout=0.1" --train "none="

A tenth of the videos, seeded, is kept from training: the log in FACET_HOME is copied without their watches to
``--home``, where the bundles are trained. Prints per method recall_at_50 on the cold targets and on the
others, the whole catalogue being ranked. ``--bundle NAME=PATH`` judges what was trained before. The
references are those of ``training/cold_videos.py``; the vectors of ``mean of kin`` are those of the bundle
called ``none``. Cold videos cost the others places, the more the longer their vectors are (``--boost``,
several times): compare lines of equal recall on the others. Writes ``--home``/bench/cold_videos.json.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.report import report
from features.bundle import Bundle, open_bundle
from features.days import parse_moment, parse_span
from features.lake import Lake
from features.schema import VIDEO_ID, VIDEOS
from features.settings import Settings
from training.cold_videos import (
    ColdTask,
    choose_cold,
    copy_without,
    encoder_ranker,
    liked_tags,
    mean_of_kin,
    popular_kin,
)
from training.dataset import WatchLog
from training.intervals import mean_interval, paired_interval
from training.metrics import MAIN_METRIC
from training.ranked import Ranker
from training.run import train
from training.settings import TrainingSettings

PLAIN: str = "none"
"""Name of the bundle without side features."""


def main(arguments: argparse.Namespace) -> None:
    """Copy, train, judge, print."""
    whole, kept = Settings(), Settings(home=arguments.home)
    moment, days = parse_moment(arguments.until), parse_span(arguments.days)
    lake = Lake(whole)
    ids = lake.read_days(VIDEOS, [lake.latest_day(VIDEOS, "9999")])[VIDEO_ID].to_numpy()
    cold_ids = choose_cold(ids, arguments.share, arguments.seed)
    if not Lake(kept).has(VIDEOS):
        copy_without(whole, kept, cold_ids)
    bundles = {name: Path(path) for name, path in map(_named, arguments.bundle)}
    for name, overrides in map(_named, arguments.train):
        bundles[name] = _train(name, overrides, moment, kept)
    opened = {name: open_bundle(path) for name, path in bundles.items()}
    task = ColdTask.read(whole, kept, cold_ids, days, half=arguments.half, rule=whole.rule)
    lines = judge_all(opened, task, kept, moment, arguments.boost or (1.0,))
    result = {
        "share": arguments.share,
        "seed": arguments.seed,
        "half": arguments.half,
        "num_cold": len(cold_ids),
        "cases": lines,
    }
    report("cold_videos", result, shown=False)


def judge_all(
    bundles: dict[str, Bundle], task: ColdTask, kept: Settings, until: datetime, boosts: Sequence[float]
) -> list[dict[str, object]]:
    """A line per method and boost: figures on cold and on other targets, and against the best reference."""
    rankers = _references(task, kept, until)
    if PLAIN in bundles:
        for boost in boosts:
            rankers[f"mean of kin x{boost:g}"] = mean_of_kin(bundles[PLAIN], task.videos, boost=boost)
    references = set(rankers)
    rankers |= {
        f"{name} x{boost:g}": encoder_ranker(bundle, task.videos, boost=boost)
        for name, bundle in bundles.items()
        for boost in (boosts if bundle.item_fields.names else boosts[:1])
    }
    judged = {name: task.judge(ranker) for name, ranker in rankers.items()}
    best = max(references, key=lambda name: judged[name][0].main.mean())
    sys.stdout.write(
        f"{len(task.cold.keys)} users with {len(task.cold.ids)} cold targets; by chance "
        f"{50 / len(task.videos):.4f}; best reference: {best}\n"
    )
    lines: list[dict[str, object]] = []
    for name, (cold, warm) in judged.items():
        line = {
            "method": name,
            "cold": cold.metrics[MAIN_METRIC],
            "interval": mean_interval(cold.main),
            "others": warm.metrics[MAIN_METRIC],
            "against": None if name == best else paired_interval(cold, judged[best][0]),
        }
        lines.append(line)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return lines


def _references(task: ColdTask, kept: Settings, until: datetime) -> dict[str, Ranker]:
    """What needs no network."""
    log = WatchLog(Lake(kept), until, Settings().rule)
    ids = task.videos[VIDEO_ID].to_numpy()
    watched = log.positives()[VIDEO_ID].to_numpy()
    counts = np.bincount(np.searchsorted(ids, watched[np.isin(watched, ids)]), minlength=len(ids))
    counts = counts.astype(float)
    by_power = {
        f"tags of the history, popularity^{power}": liked_tags(counts, task.videos, power=power)
        for power in (1.0, 0.5)
    }
    return {"popularity of kin": popular_kin(counts, task.videos), **by_power}


def _train(name: str, overrides: str, until: datetime, kept: Settings) -> Path:
    started = time.perf_counter()
    model, _, rest = overrides.partition(":") if ":" in overrides else ("single_activation", "", overrides)
    options = [part.replace("+", ",") for part in rest.split(",") if part]
    path = train(
        model,
        until,
        settings=kept,
        overrides=options,
        show_progress=False,
        training=TrainingSettings(mlflow_uri="off"),
    )
    sys.stdout.write(f"{name}: {path} in {time.perf_counter() - started:.0f} s\n")
    sys.stdout.flush()
    return path


def _named(text: str) -> tuple[str, str]:
    name, _, rest = text.partition("=")
    return name, rest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("until", help="a day (its end, UTC) or an ISO time with offset")
    parser.add_argument("days", metavar="A..B", help="judged days")
    parser.add_argument("--home", type=Path, required=True, help="where the log without cold videos goes")
    parser.add_argument("--share", type=float, default=0.1, help="of the videos that are cold")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--half", choices=("tune", "report", "all"), default="all", help="of the users")
    parser.add_argument(
        "--boost", action="append", type=float, default=[], help="length of cold vectors; 1.0"
    )
    parser.add_argument("--train", action="append", default=[], metavar="NAME=KEY=VALUE,...")
    parser.add_argument("--bundle", action="append", default=[], metavar="NAME=PATH")
    main(parser.parse_args())
