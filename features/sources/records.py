"""Arrow tables of the simulated app, in the columns of features/schema.py: watches and daily snapshots."""

from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt

from features import schema
from features.sources.behaviour import CHANNELS, SCENES, Watches
from features.sources.simulation import SimulationConfig
from features.sources.topics import tag_names, topic_categories, topic_names
from features.sources.world import AGE_BANDS, DEVICES, GENDERS, LANGUAGES, REGIONS, Users, Videos

HEX: Final = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint8).reshape(256, 2)


def watches_table(watches: Watches, users: Users, *, seed: int, day_number: int) -> pa.Table:
    """One day's watches in the order of their time; nobody served an interest, so ``interest`` is null."""
    num_rows = watches.users.size
    columns = {
        schema.EVENT_ID: _hex_ids(np.arange(num_rows), seed, 2 * day_number),
        schema.USER_ID: watches.users,
        schema.VIDEO_ID: watches.videos,
        schema.EVENT_TIME: watches.times,
        schema.WATCH_SECONDS: watches.seconds,
        schema.LONG_WATCH: watches.long_watch,
        **dict(zip(schema.FLAGS, np.ascontiguousarray(watches.flags.T), strict=True)),
        schema.SCENE: _words(SCENES, watches.scenes),
        schema.DEVICE: _words(DEVICES, users.devices[watches.users]),
        schema.REQUEST_ID: _hex_ids(watches.requests, seed, 2 * day_number + 1),
        schema.CHANNEL: _words(CHANNELS, watches.channels),
        schema.INTEREST: pa.nulls(num_rows, pa.int32()),
    }
    return _table(columns, schema.WATCHES)


def videos_snapshot(videos: Videos, config: SimulationConfig, *, end: int) -> pa.Table:
    """All videos published before ``end`` (microseconds), with the state of that moment."""
    rows = np.flatnonzero(videos.published < end)
    names, categories, tags = (
        topic_names(config.num_topics),
        topic_categories(config.num_topics),
        tag_names(config.num_topics),
    )
    topics, niches = videos.topics[rows].tolist(), videos.tags[rows, 0].tolist()
    columns = {
        schema.VIDEO_ID: rows,
        schema.UPLOADER_ID: videos.uploaders[rows],
        schema.TAG_IDS: _lists(videos.tags[rows]),
        schema.CATEGORY: pa.array([categories[topic] for topic in topics]),
        schema.DURATION_SECONDS: videos.seconds[rows],
        schema.PUBLISHED_AT: videos.published[rows],
        schema.TITLE: pa.array(
            [
                f"{names[t]} #{row} - {tags[tag]}"
                for row, t, tag in zip(rows.tolist(), topics, niches, strict=True)
            ]
        ),
        schema.LANGUAGE: _words(LANGUAGES, videos.languages[rows]),
        schema.IS_ONLINE: videos.withdrawn[rows] >= end,
    }
    return _table(columns, schema.VIDEOS)


def users_snapshot(users: Users, *, end: int) -> pa.Table:
    """All users registered before ``end`` (microseconds)."""
    rows = np.flatnonzero(users.registered < end)
    bands = _words(AGE_BANDS, users.age_bands[rows])
    attributes = {"age_band": bands, "gender": _words(GENDERS, users.genders[rows])}
    attributes["region"] = _words(REGIONS, users.regions[rows])
    tokens = [[f"{name}={value}" for value in values.to_pylist()] for name, values in attributes.items()]
    columns = {
        schema.USER_ID: rows,
        schema.REGISTERED_AT: users.registered[rows],
        schema.SEGMENT: bands,
        schema.PROFILE: pa.array(
            [list(profile) for profile in zip(*tokens, strict=True)], pa.list_(pa.string())
        ),
    }
    return _table(columns, schema.USERS)


def _table(columns: dict[str, np.ndarray | pa.Array], name: str) -> pa.Table:
    wanted = pa.schema([field for field in schema.SCHEMAS[name] if field.name != schema.EXTRA])
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in wanted]
    return pa.table(arrays, schema=wanted)


def _words(vocabulary: tuple[str, ...], numbers: Int[np.ndarray, " N"]) -> pa.Array:
    return pa.array(vocabulary).take(pa.array(numbers))


def _lists(tags: Int[np.ndarray, "V 4"]) -> pa.Array:
    held = tags >= 0
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(tags[held], pa.int64()))


def _hex_ids(numbers: Int[np.ndarray, " N"], seed: int, stream: int) -> pa.Array:
    """Sixteen hex digits, different for every (stream, number) of one seed: splitmix64 is a bijection."""
    keys = numbers.astype(np.uint64) + np.uint64(stream << 40)
    digits = HEX[_splitmix64(_splitmix64(keys) ^ np.uint64(seed)).astype(">u8").view(np.uint8)]  # (8 N, 2)
    offsets = np.arange(numbers.size + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(numbers.size, pa.py_buffer(offsets), pa.py_buffer(digits.tobytes()))


def _splitmix64(keys: UInt[np.ndarray, " N"]) -> UInt[np.ndarray, " N"]:
    """Finaliser of Steele, Lea and Flood, OOPSLA 2014; wraps around on purpose."""
    mixed = keys + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
