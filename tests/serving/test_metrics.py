"""What is counted of answers, what batch tasks add, and gauges of how things are."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from features.merge import NO_VIDEO, Merged
from features.settings import Settings
from features.task_metrics import record, recording
from features.vocabulary import Vocabulary
from serving.channels import Found
from serving.channels.asking import Asked
from serving.errors import IndexUnavailableError
from serving.index import Hits
from serving.index_checks import IndexChecks, WatchedIndex
from serving.interests import UserInterests
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.result import NO_INTEREST, Candidate, Origin, Reason, RecallResult, Rule, Tally
from serving.settings import ServingSettings
from serving.shown import ShownVideos
from serving.state_metrics import StateMetrics
from serving.tally import tally_of
from serving.task_files import TaskFiles
from tests.serving.bundles import exact_index
from tests.serving.users import timed


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.samples()[name, tuple(sorted(labels.items()))]


def candidate(video_id: int, channel: str) -> Candidate:
    return Candidate(video_id, 1.0, NO_INTEREST, (), (), None, (Origin(channel, 0, ()),))


def test_an_answer_is_counted_by_what_is_in_it() -> None:
    metrics = Metrics()
    metrics.count_flip("v1", 1, ["interests", "ease", "popular"])
    tally = Tally(4, 3, 10, 2, {Rule.SEEN: 7, Rule.HIDDEN: 0})
    candidates = (candidate(1, "interests"), candidate(2, "ease"), candidate(3, "interests"))
    full = RecallResult(1, "v1", None, (), candidates, tally=tally)
    metrics.count_answer(full, 0.01, top_n=3)
    metrics.count_answer(replace(full, candidates=(), reason=Reason.SHORT_LIST, tally=Tally()), 0.01, top_n=3)
    assert value(metrics, "facet_candidates_total", channel="interests") == 2
    assert value(metrics, "facet_candidates_total", channel="ease") == 1
    assert value(metrics, "facet_candidates_total", channel="popular") == 0  # exists before it is needed
    assert (value(metrics, "facet_empty_total"), value(metrics, "facet_short_total")) == (1, 1)
    assert value(metrics, "facet_interests_sum", pruning="before") == 4
    assert value(metrics, "facet_interests_sum", pruning="after") == 3
    assert value(metrics, "facet_searches_total") == 3
    assert (value(metrics, "facet_overlap_ratio_sum"), value(metrics, "facet_overlap_ratio_count")) == (
        0.2,
        1,
    )
    assert value(metrics, "facet_filtered_total", rule="seen") == 7


def test_a_tally_counts_interests_and_what_several_of_them_found() -> None:
    interests = UserInterests(
        np.eye(3, dtype=np.float32), np.ones(3, dtype=np.float32) / 3, np.array([True, True, False])
    )
    ids = np.array([[1, 2, 3], [2, 3, 4], [NO_VIDEO] * 3])
    hits = Hits(ids, np.zeros((3, 3), dtype=np.float32))
    lists = Merged(ids[:1], np.zeros((1, 3), dtype=np.float32), np.zeros((1, 3), dtype=np.int64))
    asked = Asked({"interests": Found(lists, interests, hits), "popular": Found(lists)})
    # Videos 1 to 4 were found, 2 and 3 twice.
    assert tally_of(asked, {}, num_unread=7) == Tally(3, 2, 4, 2, {})
    unknown = Asked({"popular": Found(lists)}, unknowing=["interests"])
    assert tally_of(unknown, {Rule.SEEN: 2}, num_unread=7) == Tally(0, 0, 0, 0, {Rule.SEEN: 2}, 7)
    metrics = Metrics()
    result = RecallResult(1, "v1", Reason.NO_HISTORY, (), (), tally=tally_of(unknown, {}, num_unread=7))
    metrics.count_answer(result, 0.1, top_n=1)
    assert value(metrics, "facet_unknown_watches_total") == 7


def test_what_tasks_left_is_part_of_the_metrics_and_broken_files_are_not(settings: Settings) -> None:
    for channel in ("interests", "ease"):
        with recording(f"publish_{channel}", settings):
            record("facet_verified_index_recall", 0.99, channel=channel)
    good = (settings.metrics / "publish_ease.prom").read_text()
    bad = {
        "cut": good[: len(good) // 2],
        "cut_at_a_line": "\n".join(good.splitlines()[:-2]),
        "other": good.replace("facet_verified_index_recall", "facet_made_up"),
        "labels": good.replace('channel="ease"', 'place="ease"'),
        "empty": "",
    }
    for name, text in bad.items():
        (settings.metrics / f"{name}.prom").write_text(text)
    (settings.metrics / "bytes.prom").write_bytes(b"\xff\xfe")
    metrics = Metrics(TaskFiles(settings.metrics))
    assert value(metrics, "facet_verified_index_recall", channel="ease") == 0.99
    assert value(metrics, "facet_task_success", task="publish_interests") == 1
    assert value(metrics, "facet_task_files_broken") == len(bad) + 1
    families = list(text_string_to_metric_families(metrics.render().decode()))
    assert len({family.name for family in families}) == len(
        families
    )  # one family per name, whatever the files


def test_without_anything_the_gauges_say_never(settings: Settings) -> None:
    metrics = Metrics()
    live = LiveRecaller(settings, ServingSettings(), metrics=metrics, users=timed())
    StateMetrics(settings, live, metrics)
    assert value(metrics, "facet_freshness_seconds", of="features") == math.inf
    assert math.isnan(value(metrics, "facet_release_age_seconds"))
    assert value(metrics, "facet_missed_deadlines") == 0


def test_coverage_is_the_share_of_the_catalogue_in_the_newest_answers() -> None:
    shown = ShownVideos(Vocabulary(np.array([10, 20, 30, 40])), window=2)
    assert shown.coverage == 0
    shown.note([10, 20, 77])  # 77 is of another catalogue
    shown.note([20, 30])
    assert shown.coverage == 0.75
    shown.note([20])  # the first answer is no longer one of the newest two
    assert shown.coverage == 0.5
    assert ShownVideos(Vocabulary(np.array([], dtype=np.int64))).coverage == 0


class Lossy:
    """An index that has lost its best hit, or does not answer at all."""

    def __init__(self, *, is_away: bool = False) -> None:
        self._inner, self._is_away = exact_index(), is_away

    def search(self, queries, limit, *, exclude, filters):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        if self._is_away:
            raise IndexUnavailableError("Milvus does not answer; start it")
        found = self._inner.search(queries, limit, exclude=np.append(exclude, 10), filters=filters)
        return Hits(found.video_ids[:, :limit], found.scores[:, :limit])

    def check(self) -> None:
        """Always fine."""


def test_the_newest_search_is_compared_with_the_exact_one() -> None:
    metrics, query, nothing = Metrics(), np.array([[1.0, 0.0]], dtype=np.float32), np.empty(0, dtype=np.int64)
    indexes = {
        name: WatchedIndex(inner, exact_index)
        for name, inner in (("good", exact_index()), ("lossy", Lossy()))
    }
    indexes["unasked"] = WatchedIndex(exact_index(), exact_index)
    for name in ("good", "lossy"):
        indexes[name].search(query, 2, exclude=nothing)
    IndexChecks(lambda: indexes, metrics.note_index_check).run()
    # The best two for the first axis are 10 and 30; without 10 one of them is found.
    assert value(metrics, "facet_index_recall", channel="good") == 1
    assert value(metrics, "facet_index_recall", channel="lossy") == 0.5
    assert value(metrics, "facet_index_checks_total", result="done") == 2
    metrics.count_flip("v2", 2, ["interests"])  # an alert would see those of a channel that is gone for ever
    assert math.isnan(value(metrics, "facet_index_recall", channel="lossy"))


def test_a_gauge_that_cannot_be_set_takes_no_other_away() -> None:
    metrics, read = Metrics(), []
    metrics.before_reading(lambda: [][0])
    metrics.before_reading(lambda: read.append("the next"))
    assert b"facet_requests_total" in metrics.render()
    assert read == ["the next"]


def test_an_index_that_does_not_answer_is_counted_and_not_compared() -> None:
    metrics, away = Metrics(), WatchedIndex(Lossy(is_away=True), exact_index)
    with pytest.raises(IndexUnavailableError):
        away.search(np.zeros((1, 2), dtype=np.float32), 2, exclude=np.empty(0, dtype=np.int64))
    IndexChecks(lambda: {"interests": away}, metrics.note_index_check).run()
    assert value(metrics, "facet_index_checks_total", result="failed") == 1
    assert ("facet_index_recall", (("channel", "interests"),)) not in metrics.samples()


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    assert value(Metrics(TaskFiles(tmp_path / "nowhere")), "facet_task_files_broken") == 0
