"""The HTTP API over a real release in a real Milvus Lite server."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from features.settings import Settings
from features.task_metrics import TASK_METRICS
from serving.app import create_app
from serving.embedded import milvus_server
from serving.live import LiveRecaller
from serving.lookup import TimedLookup
from serving.metrics import METRICS, Metrics
from serving.milvus import CONNECT_PAUSE_SECONDS, MilvusConnection
from serving.offline import OfflineVideos
from serving.publish import publish, rollback
from serving.result import Reason
from serving.settings import ServingSettings
from tests.serving.bundles import write_interests, write_ranking
from tests.serving.conftest import free_port, slow_machine
from tests.serving.users import POSITIVE, BrokenStore, parts_of, timed, user

REPOSITORY = Path(__file__).parents[2]
BOTH = [(20, POSITIVE), (10, POSITIVE)]


@dataclass(frozen=True, slots=True)
class Served:
    """An app, what it follows, and a client; the tests call ``refresh`` instead of waiting for the poll."""

    client: TestClient
    live: LiveRecaller


def serve(settings: Settings, milvus: ServingSettings, users: TimedLookup | None = None) -> Served:
    metrics = Metrics()
    live = LiveRecaller(settings, milvus, metrics=metrics, users=users or timed(user(1, BOTH)))
    app = create_app(parts_of(settings, live, metrics))
    return Served(TestClient(app, raise_server_exceptions=False), live)


@pytest.fixture
def served(settings: Settings, milvus: ServingSettings) -> Served:
    bundles = [write_interests(settings), write_ranking(settings, {None: [50, 40]})]
    publish(bundles, settings=settings, serving_settings=milvus)
    served = serve(settings, milvus)
    assert served.live.refresh()
    return served


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Value by name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


@pytest.mark.server
def test_recall_over_http_is_recall(served: Served) -> None:
    reply = served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2, "explain": True})
    assert reply.status_code == 200
    body = reply.json()
    assert body["candidates"][0] == {
        "video_id": 30,
        "score": pytest.approx(0.9),
        "interest": 0,
        "also_found_by": [],
        "tags": [1],
        "uploader": 7,
        "channels": [{"channel": "interests", "interests": [0], "rank": 0}],
    }
    assert [c["video_id"] for c in body["candidates"]] == [30, 40]
    assert body["interests"][1] == {
        "channel": "interests",
        "interest": 1,
        "weight": 0.5,
        "is_searched": True,
        "num_found": 2,
        "num_kept": 1,
        "top_tags": [2],
        "nearest": [40, 50],
        "grounds": {"num_positives": 1, "share": 0.5, "min_share": 0.3, "is_copy": False},
    }
    assert (body["user_id"], body["reason"]) == (1, None)
    assert body["release"] == served.client.get("/v1/release").json()["version"]


def test_work_beside_the_answers_outlives_its_bugs(settings: Settings) -> None:
    again, calls = threading.Event(), []

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        again.set()

    metrics = Metrics()
    live = LiveRecaller(settings, ServingSettings(), metrics=metrics, users=timed(user(1, BOTH)))
    parts = replace(parts_of(settings, live, metrics), chores=[(work, 0.01)])
    with TestClient(create_app(parts)):
        assert again.wait(30)


@pytest.mark.server
def test_an_unknown_user_is_answered_with_a_reason(served: Served) -> None:
    reply = served.client.post("/v1/recall", json={"user_id": 99, "top_n": 3})
    assert (reply.status_code, reply.json()["reason"], reply.json()["interests"]) == (200, "unknown_user", [])
    assert [c["video_id"] for c in reply.json()["candidates"]] == [50, 40, 10]


@pytest.mark.server
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"user_id": -1}, "user_id: Input should be greater than or equal to 0"),
        ({"user_id": True}, "user_id: Value error, true and false are no ids"),
        ({"user_id": 2**63}, "user_id: Input should be less than or equal to 9223372036854775807"),
        ({"user_id": 1, "top_n": 0}, "top_n: Input should be greater than or equal to 1"),
        ({"user_id": 1, "top_n": 1001}, "top_n: Input should be less than or equal to 1000"),
        ({"user_id": 1, "topn": 5}, "topn: Extra inputs are not permitted"),
        ({}, "user_id: Field required"),
        (
            {"user_id": 1, "filters": {"languages": ["e\x00"]}},
            r"filters.languages.0: String should match pattern '^[^\x00-\x1f]*$'",
        ),
    ],
)
def test_a_wrong_request_is_a_problem_that_names_the_field(
    served: Served, body: dict[str, Any], complaint: str
) -> None:
    reply = served.client.post("/v1/recall", json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert (reply.json()["title"], reply.json()["detail"]) == ("Unprocessable Entity", complaint)


@pytest.mark.server
@pytest.mark.parametrize(
    ("headers", "body", "complaint"),
    [
        ({}, b'{"user_id": 1}', "send it with the header content-type: application/json"),
        ({"content-type": "text/plain"}, b'{"user_id": 1}', "send it with the header content-type"),
        (
            {"content-type": "application/json"},
            b'{"user_id": 1',
            "no JSON: Expecting ',' delimiter (character 13)",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/recall", "/v1/events"])
def test_a_body_that_cannot_be_read_is_a_problem_that_says_what_to_do(
    served: Served, path: str, headers: dict[str, str], body: bytes, complaint: str
) -> None:
    reply = served.client.post(path, content=body, headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert complaint in reply.json()["detail"]


@pytest.mark.server
def test_an_unknown_path_is_a_problem_too(served: Served) -> None:
    reply = served.client.get("/v2/recall")
    assert (reply.status_code, reply.json()["status"]) == (404, 404)
    assert reply.headers["content-type"] == "application/problem+json"


def test_without_a_release_nothing_is_ready_but_the_process_is_healthy(settings: Settings) -> None:
    served = serve(settings, ServingSettings(milvus_uri=f"http://127.0.0.1:{free_port()}"))
    assert not served.live.refresh()
    ready, healthy = served.client.get("/readyz?of=release"), served.client.get("/healthz")
    assert (ready.status_code, list(ready.json()["missing"])) == (503, ["release"])
    assert (healthy.status_code, healthy.json()) == (200, {"status": "ok"})
    for reply in (served.client.post("/v1/recall", json={"user_id": 1}), served.client.get("/v1/release")):
        assert reply.status_code == 503
        assert "run `facet publish BUNDLE`" in reply.json()["detail"]
    assert served.client.post("/v1/recall:batch", json={"user_ids": [1, 2]}).status_code == 503
    assert samples(served.client)["facet_requests_total", "503", "none"] == 2
    assert samples(served.client)["facet_release_flips_total", "failed"] == 0, "nothing was there to open"


@pytest.mark.server
def test_readyz_names_a_store_that_does_not_answer(settings: Settings, milvus: ServingSettings) -> None:
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    served = serve(settings, milvus, TimedLookup(BrokenStore(), timeout_seconds=20.0))
    served.live.refresh()
    reply = served.client.get("/readyz")
    assert (reply.status_code, reply.json()["is_ready"]) == (503, False)
    assert reply.json()["missing"] == {"features": "the store is down; start it"}


@pytest.mark.server
def test_milvus_stopped_gives_popular_videos_and_comes_back_by_itself(settings: Settings) -> None:
    milvus = slow_machine(free_port()).model_copy(update={"search_timeout_ms": 3_000})
    with milvus_server(milvus, settings):
        publish([write_interests(settings)], settings=settings, serving_settings=milvus)
        served = serve(settings, milvus)
        served.live.refresh()
        assert served.client.get("/readyz").status_code == 200
    reply = served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2})
    assert (reply.status_code, reply.json()["reason"]) == (200, "index_unavailable")
    assert [c["video_id"] for c in reply.json()["candidates"]] == [30, 40]  # by popularity, without the seen
    with milvus_server(milvus, settings):
        time.sleep(CONNECT_PAUSE_SECONDS)
        again = served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2})
        assert again.json()["reason"] is None
        assert served.client.get("/readyz").json() == {"is_ready": True, "missing": {}}


@pytest.mark.server
def test_readyz_names_a_milvus_that_does_not_answer(settings: Settings, milvus: ServingSettings) -> None:
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    nowhere = ServingSettings(milvus_uri=f"http://127.0.0.1:{free_port()}")
    served = serve(settings, nowhere)
    served.live.refresh()
    reply = served.client.get("/readyz")
    assert (reply.status_code, list(reply.json()["missing"])) == (503, ["milvus"])
    assert served.client.get("/readyz?of=release").status_code == 200, "popular videos can be had"
    assert nowhere.milvus_uri in reply.json()["missing"]["milvus"]


@pytest.mark.server
def test_a_collection_that_milvus_let_go_is_loaded_again_by_the_next_request(
    served: Served, milvus: ServingSettings
) -> None:
    assert served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2}).json()["reason"] is None
    with MilvusConnection(milvus).translating("letting go") as client:
        client.release_collection("videos_tiny_v1")
    replies = [served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2}).json() for _ in range(2)]
    assert [reply["reason"] for reply in replies] == ["index_unavailable", None]


@pytest.mark.server
def test_a_flip_is_picked_up_without_a_restart(
    served: Served, settings: Settings, milvus: ServingSettings
) -> None:
    first = served.client.get("/v1/release").json()
    second = publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
    assert served.live.refresh()
    assert not served.live.refresh()  # nothing new
    release = served.client.get("/v1/release").json()
    assert (release["version"], release["revision"]) == (second, 2)
    assert release["bundles"] == {"interests": "tiny/v2", "popular": "popularity/p1"}
    assert (release["merge"]["weights"], release["merge"]["fusion"]) == ({}, "reciprocal_rank")
    assert served.client.post("/v1/recall", json={"user_id": 1}).json()["release"] == second
    rollback(settings=settings, serving_settings=milvus)
    assert served.live.refresh()
    assert served.client.get("/v1/release").json()["version"] == first["version"]
    found = samples(served.client)
    assert found["facet_release_info", first["version"]] == 1
    assert found["facet_release_info", second] == 0


@pytest.mark.server
def test_the_running_app_follows_the_pointer_by_itself(settings: Settings, milvus: ServingSettings) -> None:
    metrics = Metrics()
    live = LiveRecaller(settings, milvus, metrics=metrics, users=timed())
    flipped = threading.Event()
    with TestClient(create_app(parts_of(settings, live, metrics), poll_seconds=0.05)) as client:
        assert client.get("/v1/release").status_code == 503
        version = publish([write_interests(settings)], settings=settings, serving_settings=milvus)
        for _ in range(200):
            if client.get("/v1/release").status_code == 200:
                break
            flipped.wait(0.05)
        assert client.get("/v1/release").json()["version"] == version


@pytest.mark.server
def test_a_release_that_cannot_be_opened_leaves_the_old_one(
    served: Served, settings: Settings, milvus: ServingSettings
) -> None:
    first = served.client.get("/v1/release").json()["version"]
    bundle = write_interests(settings, "v2")
    publish([bundle], settings=settings, serving_settings=milvus)
    (bundle / "extractor.onnx").write_bytes(b"damaged after the flip")
    assert not served.live.refresh()
    assert served.client.get("/v1/release").json()["version"] == first
    assert samples(served.client)["facet_release_flips_total", "failed"] == 1


@pytest.mark.server
def test_metrics_count_answers_fallbacks_and_stages(served: Served) -> None:
    served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2})
    served.client.post("/v1/recall", json={"user_id": 99})
    served.client.post("/v1/recall", json={"user_id": -1})
    found = samples(served.client)
    assert found["facet_requests_total", "200", "interests"] == 1
    assert found["facet_requests_total", "200", "popular"] == 1
    assert found["facet_requests_total", "422", "none"] == 1
    assert found["facet_fallback_total", "unknown_user"] == 1
    assert found["facet_latency_seconds_count", "search"] == 1  # the unknown user needed no search
    assert found["facet_latency_seconds_count", "total"] == 2
    assert found["facet_release_info", served.client.get("/v1/release").json()["version"]] == 1
    assert found["facet_release_revision",] == 1


def test_every_label_value_exists_before_the_first_request() -> None:
    families = {family.name: family for family in text_string_to_metric_families(Metrics().render().decode())}
    assert set(families) >= {name.removesuffix("_total") for name in METRICS if name not in TASK_METRICS}
    reasons = {sample.labels["reason"] for sample in families["facet_fallback"].samples if sample.value == 0}
    assert reasons >= {reason.value for reason in Reason}


def test_every_metric_has_the_prefix_and_a_help_text() -> None:
    assert all(name.startswith("facet_") and spec.help for name, spec in METRICS.items())


@pytest.mark.server
def test_many_users_are_answered_in_their_order(served: Served) -> None:
    answers = served.client.post("/v1/recall:batch", json={"user_ids": [999, 1], "top_n": 2}).json()[
        "answers"
    ]
    assert [answer["user_id"] for answer in answers] == [999, 1]
    alone = served.client.post("/v1/recall", json={"user_id": 1, "top_n": 2}).json()
    assert answers[1] | {"request_id": ""} == alone | {"request_id": ""}
    assert len({answer["request_id"] for answer in answers}) == 2


@pytest.mark.server
def test_interests_and_similar_videos_can_be_looked_at(served: Served) -> None:
    found = served.client.get("/v1/users/1/interests").json()
    assert [(each["interest"], each["nearest"][0]) for each in found["interests"]] == [(0, 30), (1, 40)]
    assert served.client.get("/v1/users/999/interests").json()["reason"] == "unknown_user"
    near = served.client.get("/v1/videos/30/similar", params={"top_n": 2}).json()
    assert [each["video_id"] for each in near["candidates"]] == [10, 50]
    assert served.client.get("/v1/videos/77/similar").status_code == 404
    assert served.client.get("/v1/users/-1/interests").status_code == 422


@pytest.mark.server
def test_an_offline_video_is_shown_to_nobody_from_now_on(settings: Settings, served: Served) -> None:
    def videos(user_id: int) -> list[int]:
        answer = served.client.post("/v1/recall", json={"user_id": user_id, "top_n": 5}).json()
        return [candidate["video_id"] for candidate in answer["candidates"]]

    known, unknown = videos(1), videos(999)
    OfflineVideos(settings).hide([30, 50])
    assert videos(1) == [video_id for video_id in known if video_id not in (30, 50)]
    assert videos(999) == [video_id for video_id in unknown if video_id not in (30, 50)]
    assert {30, 50} & set(known) & set(unknown)


@pytest.mark.server
def test_the_documentation_has_an_example_for_every_body(served: Served) -> None:
    schemas = served.client.get("/openapi.json").json()["components"]["schemas"]
    assert all("example" in schemas[name] for name in ("RecallRequest", "RecallResponse", "ReleaseResponse"))


NO_TORCH = """
import sys
from pathlib import Path
from features.settings import Settings
from serving.lookup import open_lookup
from serving.run import build_app
from serving.settings import ServingSettings
settings = Settings(home=Path(sys.argv[1]))
build_app(settings, ServingSettings())
open_lookup(settings, timeout_seconds=1.0)
import onnxruntime, pymilvus, uvicorn
assert "feast" in sys.modules
print([name for name in ("torch", "mlflow", "airflow") if sys.modules.get(name)])
"""


@pytest.mark.slow
def test_the_serving_process_loads_neither_torch_nor_mlflow_nor_airflow(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", NO_TORCH, str(tmp_path)]
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LIGHT = """
import sys
import serving.embedded, serving.publish, serving.recall, serving.settings
heavy = {"pymilvus", "feast", "onnxruntime", "fastapi", "torch"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_publish_and_recall_costs_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
