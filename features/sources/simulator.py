"""A short-video app with planted interests, written as landing files and the truth beside them.

``landing/`` gets what a real app would send: watches (JSONL.gz on most days, CSV on every fifth, Parquet on
every seventh) and full snapshots of videos and users. ``truth/`` gets what only a simulator knows:

users.parquet   user_id, day (valid from), num_interests, topics, weights, tags (two favourites per topic)
topics.parquet  topic (number), name
tags.parquet    tag_id, name, topic
videos.parquet  video_id, topic
dirt.parquet    landing_day, kind, rows

Same configuration, same bytes. Dirt comes on top and takes nothing away: after ingest, the clean and the
dirty log of one seed hold the same watches.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import structlog

from features import schema
from features.errors import BadInputError
from features.settings import Settings
from features.sources.behaviour import App
from features.sources.dirt import Arrivals, Dirt
from features.sources.interests import Interests, plant_interests
from features.sources.landing_writer import landing_folder, write_bytes, write_parquet
from features.sources.records import users_snapshot, videos_snapshot, watches_table
from features.sources.simulation import SimulationConfig, SimulationReport
from features.sources.truth import interests_table, write_truth
from features.sources.watch_files import NAME, write_watches
from features.sources.world import DAY_MICROS, Users, Videos, build_users, build_videos, epoch_micros

__all__ = ["SimulationConfig", "SimulationReport", "simulate"]

log = structlog.get_logger(__name__)


def simulate(config: SimulationConfig, settings: Settings) -> SimulationReport:
    """Write the landing files and the truth of the app that ``config`` describes.

    Raises:
        BadInputError: this home already holds another simulation; two worlds would share their ids.
    """
    started = time.perf_counter()
    _claim_home(config, settings)
    videos = build_videos(config, np.random.default_rng([config.seed, 1]))
    users = build_users(config, np.random.default_rng([config.seed, 2]))
    interests = plant_interests(config, users, np.random.default_rng([config.seed, 3]))
    app, dirt = App(config, videos, users, interests), Dirt(config)
    num_events = 0
    truth, spoiled = [], []
    writes: list[Future[dict[str, int]]] = []
    with ThreadPoolExecutor(1) as pool:  # a day is written while the next one is lived
        for day_number, day in enumerate(config.days):
            rng = np.random.default_rng([config.seed, 4, day_number])
            truth.append(_interests_of_day(interests, users, config, day_number, rng))
            watches = app.live(epoch_micros(day), rng)
            num_events += watches.users.size
            table = watches_table(watches, users, seed=config.seed, day_number=day_number)
            arrivals = dirt.spoil(table, day_number)
            spoiled += [(day, kind, count) for kind, count in sorted(arrivals.counts.items())]
            if writes:
                writes[-1].result()  # so that no more than two days are in memory
            writes.append(pool.submit(_write_day, arrivals, videos, users, config, settings, day_number))
    written = {day: write.result() for day, write in zip(config.days, writes, strict=True)}
    rows = {
        table: {day: counts[table] for day, counts in written.items()}
        for table in (schema.WATCHES, schema.VIDEOS, schema.USERS)
    }
    write_truth(settings, config, videos, truth, spoiled)
    totals: dict[str, int] = {}
    for _, kind, count in spoiled:
        totals[kind] = totals.get(kind, 0) + count
    return SimulationReport(config.days, num_events, rows, totals, time.perf_counter() - started)


def _claim_home(config: SimulationConfig, settings: Settings) -> None:
    path = settings.truth / "simulation.json"
    wanted = config.model_dump_json(indent=2)
    if path.exists() and path.read_text() != wanted:
        raise BadInputError(
            f"{settings.root} already holds another simulation ({path}); "
            "set FACET_HOME to an empty folder, or remove this one"
        )
    write_bytes(path, wanted.encode())


def _interests_of_day(
    interests: Interests, users: Users, config: SimulationConfig, day_number: int, rng: np.random.Generator
) -> pa.Table:
    """Move the interests on by a day (but not before the first) and tell whose changed."""
    day = config.days[day_number]
    if day_number == 0:
        return interests_table(interests, np.arange(config.num_users), day)
    return interests_table(interests, np.flatnonzero(interests.drift(config, rng)), day)


def _write_day(
    arrivals: Arrivals,
    videos: Videos,
    users: Users,
    config: SimulationConfig,
    settings: Settings,
    day_number: int,
) -> dict[str, int]:
    """Write one landing day; returns table to rows."""
    day = config.days[day_number]
    end = epoch_micros(day) + DAY_MICROS
    num_watches = write_watches(arrivals, config, settings, day_number)
    tables = {
        schema.VIDEOS: videos_snapshot(videos, config, end=end),
        schema.USERS: users_snapshot(users, end=end),
    }
    for name, table in tables.items():
        write_parquet(landing_folder(settings, name, day) / f"{NAME}.parquet", table)
    log.info("day simulated", day=day, watches=num_watches)
    return {schema.WATCHES: num_watches} | {name: len(table) for name, table in tables.items()}
