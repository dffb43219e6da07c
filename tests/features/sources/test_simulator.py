"""The simulated log: repeatable, true to its planted interests at low noise, blind to them at full noise."""

import random
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from features import schema
from features.errors import BadInputError
from features.settings import Settings
from features.sources.simulator import SimulationConfig, SimulationReport, simulate
from tests.features.sources.landed import landed_files, landed_rows

SMALL = SimulationConfig(num_users=160, num_videos=1200, num_uploaders=120, num_days=7, noise=0)
World = tuple[Settings, SimulationReport]


def _simulate(folder: Path, **changes: float) -> World:
    settings = Settings(home=folder)
    return settings, simulate(SMALL.model_copy(update=changes), settings)


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Choices follow the interests."""
    return _simulate(tmp_path_factory.mktemp("clear"))


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Choices ignore the interests."""
    return _simulate(tmp_path_factory.mktemp("blind"), noise=1)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(clear: World, tmp_path: Path) -> None:
    again, _ = _simulate(tmp_path / "again")
    other, _ = _simulate(tmp_path / "other", seed=8)
    assert landed_files(clear[0]) == landed_files(again)
    day = SMALL.days[0]
    assert landed_rows(clear[0], schema.WATCHES, day) != landed_rows(other, schema.WATCHES, day)


def test_running_twice_in_one_home_changes_nothing(tmp_path: Path) -> None:
    settings, _ = _simulate(tmp_path, num_days=2)
    before = landed_files(settings)
    simulate(SMALL.model_copy(update={"num_days": 2}), settings)
    assert landed_files(settings) == before


def test_a_home_refuses_a_second_world(tmp_path: Path) -> None:
    settings, _ = _simulate(tmp_path, num_days=1)
    with pytest.raises(BadInputError, match="already holds another simulation"):
        simulate(SMALL.model_copy(update={"num_days": 1, "seed": 8}), settings)


def test_every_day_has_its_format(clear: World) -> None:
    names = {
        path.parent.name: path.name for path in sorted((clear[0].landing / schema.WATCHES).glob("*/*-1.*"))
    }
    expected = [".jsonl.gz"] * 4 + [".csv", ".jsonl.gz", ".parquet"]
    assert [names[day].removeprefix("simulator-1") for day in SMALL.days] == expected


def sent(table: str) -> pa.Schema:
    """What an app sends: everything but what Facet collects itself."""
    fields = schema.SCHEMAS[table]
    return fields.remove(fields.get_field_index(schema.EXTRA))


def test_watches_have_all_columns_unique_ids_and_the_reported_number(clear: World) -> None:
    settings, report = clear
    rows = landed_rows(settings, schema.WATCHES)
    assert {tuple(row) for row in rows} == {tuple(sent(schema.WATCHES).names)}
    assert len({row[schema.EVENT_ID] for row in rows}) == len(rows) == report.num_events
    assert sum(report.rows[schema.WATCHES].values()) == report.num_events
    assert report.dirt == {}


def test_event_days_are_folder_days_in_a_clean_log(clear: World) -> None:
    for day in SMALL.days:
        assert {str(row[schema.EVENT_TIME])[:10] for row in landed_rows(clear[0], schema.WATCHES, day)} == {
            day
        }


def test_snapshots_grow_by_the_new_users_and_videos_of_the_day(tmp_path: Path) -> None:
    settings, report = _simulate(tmp_path, num_days=3, new_users_per_day=0.025, new_videos_per_day=0.01)
    # 2.5% of 160 users and 1% of 1200 videos a day, complete on the last day.
    assert list(report.rows[schema.USERS].values()) == [152, 156, 160]
    assert list(report.rows[schema.VIDEOS].values()) == [1176, 1188, 1200]
    for table in (schema.USERS, schema.VIDEOS):
        (file,) = (settings.landing / table / SMALL.days[-1]).iterdir()
        assert pq.read_schema(file).equals(sent(table))


def test_videos_once_offline_stay_offline_and_are_not_watched(tmp_path: Path) -> None:
    settings, _ = _simulate(tmp_path, num_days=3, offline_per_day=0.05)
    gone: set[int] = set()
    for day in SMALL.days[-3:]:
        snapshot = landed_rows(settings, schema.VIDEOS, day)
        offline = {row[schema.VIDEO_ID] for row in snapshot if not row[schema.IS_ONLINE]}
        assert gone < offline, "5% of the videos leave on every day"
        assert not offline & {int(row[schema.VIDEO_ID]) for row in landed_rows(settings, schema.WATCHES, day)}
        gone = offline


def test_many_users_have_one_three_and_six_interests(clear: World) -> None:
    truth = pq.read_table(clear[0].truth / "users.parquet").to_pylist()
    first = [row for row in truth if row["day"] == SMALL.days[0]]
    assert Counter(row["num_interests"] for row in first) == {n: 20 for n in range(1, 9)}  # 160 users
    for row in truth:
        assert len(set(row["topics"])) == len(row["weights"]) == row["num_interests"]
        assert [tag // 8 for tag in row["tags"]] == [topic for topic in row["topics"] for _ in range(2)]
        assert row["weights"] == sorted(row["weights"], reverse=True)
        assert sum(row["weights"]) == pytest.approx(1, abs=1e-5)


def test_some_interests_drift_and_the_truth_tells_from_which_day(tmp_path: Path) -> None:
    settings, _ = _simulate(tmp_path, drift_per_day=0.1, drift_days=2)
    truth = pq.read_table(settings.truth / "users.parquet").to_pylist()
    topics: dict[int, list[list[int]]] = defaultdict(list)
    for row in truth:
        topics[row[schema.USER_ID]].append(sorted(row["topics"]))
    assert len(truth) > len(topics) == SMALL.num_users
    for before, after in [pair for held in topics.values() for pair in pairwise(held)]:
        assert len(set(before) - set(after)) == 1, "one interest at a time is replaced"


def test_long_watches_lie_in_planted_topics_at_low_noise(clear: World) -> None:
    own, others = _share_in_topics(clear[0])
    assert own > 0.85
    assert others < 0.3


def test_long_watches_and_watch_time_ignore_the_interests_at_full_noise(blind: World) -> None:
    own, others = _share_in_topics(blind[0])
    # About 2,800 long watches, share about .12: standard error of the difference .009.
    assert abs(own - others) < 0.03
    rates = _long_watch_rates(blind[0])
    # About 1,300 watches in own topics, rate about .26: standard error .012.
    assert abs(rates[True] - rates[False]) < 0.05


def test_watch_time_depends_on_interests_at_low_noise(clear: World) -> None:
    rates = _long_watch_rates(clear[0])
    assert rates[True] > 2 * rates[False]


def test_titles_and_tags_read_as_what_the_video_is_about(clear: World) -> None:
    topics = {
        row["topic"]: row["name"] for row in pq.read_table(clear[0].truth / "topics.parquet").to_pylist()
    }
    tags = {row["tag_id"]: row for row in pq.read_table(clear[0].truth / "tags.parquet").to_pylist()}
    truth = {
        row["video_id"]: row["topic"] for row in pq.read_table(clear[0].truth / "videos.parquet").to_pylist()
    }
    noisy = 0
    for row in landed_rows(clear[0], schema.VIDEOS, SMALL.days[-1]):
        topic, ids = truth[row[schema.VIDEO_ID]], row[schema.TAG_IDS]
        assert row[schema.TITLE] == f"{topics[topic]} #{row[schema.VIDEO_ID]} - {tags[ids[0]]['name']}"
        assert tags[ids[0]]["topic"] == topic
        assert 1 <= len(set(ids)) == len(ids) <= 4
        noisy += any(tags[tag]["topic"] != topic for tag in ids)
    assert abs(noisy / SMALL.num_videos - SMALL.tag_noise) < 0.04  # standard error .01


@pytest.mark.parametrize(
    "wrong",
    [{"noise": 1.5}, {"last_day": "yesterday"}, {"users": 5}, {"popular_share": 0.8, "explore_share": 0.3}],
)
def test_an_impossible_configuration_is_refused(wrong: dict) -> None:
    with pytest.raises((ValidationError, BadInputError)):
        SimulationConfig(**wrong)


def _topics_of_users(settings: Settings) -> dict[int, set[int]]:
    held: dict[int, set[int]] = defaultdict(set)
    for row in pq.read_table(settings.truth / "users.parquet").to_pylist():
        held[row[schema.USER_ID]] |= set(row["topics"])
    return held


def _topic_watches(settings: Settings) -> list[tuple[int, int, bool]]:
    topics = pq.read_table(settings.truth / "videos.parquet")["topic"].to_pylist()
    return [
        (
            int(row[schema.USER_ID]),
            topics[int(row[schema.VIDEO_ID])],
            str(row[schema.LONG_WATCH]).lower() == "true",
        )
        for row in landed_rows(settings, schema.WATCHES)
    ]


def _share_in_topics(settings: Settings) -> tuple[float, float]:
    """Share of long watches in topics of the user, and in those of another user."""
    held = _topics_of_users(settings)
    shuffled = list(held)
    random.Random(0).shuffle(shuffled)
    other = dict(zip(held, shuffled, strict=True))
    watches = [(user, topic) for user, topic, is_long in _topic_watches(settings) if is_long]
    own = sum(topic in held[user] for user, topic in watches)
    others = sum(topic in held[other[user]] for user, topic in watches)
    return own / len(watches), others / len(watches)


def _long_watch_rates(settings: Settings) -> dict[bool, float]:
    """Share of long watches among watches inside (True) and outside the user's topics."""
    held = _topics_of_users(settings)
    outcomes: dict[bool, list[bool]] = {True: [], False: []}
    for user, topic, is_long in _topic_watches(settings):
        outcomes[topic in held[user]].append(is_long)
    return {is_own: sum(values) / len(values) for is_own, values in outcomes.items()}
