"""The end of the demo: three users, figures against popularity, what Airflow says, where to look."""

import time
from typing import Any, Final

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from features.errors import RetryLaterError
from features.release import current_release, open_registry
from features.schema import USER_ID, VIDEO_ID
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from serving.airflow import run_airflow
from serving.demo_airflow import AirflowClient, Json
from serving.demo_command import FacetCommand
from serving.demo_world import DemoUser, World
from serving.stack import Stack

PLANTED_SHOWN: Final = (1, 3, 6)
TOP_N: Final = 50
TITLES_SHOWN, TOPICS_SHOWN = 3, 5
INTEREST_COLUMNS: Final = {"interest": 8, "weight": 6, "kept": 4, "about": 12, "its tags": 30}
RELEASE_SECONDS: Final = 30.0
"""Serving looks at the release pointer every few seconds."""


class Report:
    """Asks the running stack, and the bundles behind its release."""

    def __init__(self, settings: Settings, stack: Stack, config: SimulationConfig, console: Console) -> None:
        self._settings = settings
        self._stack = stack
        self._day = config.last_day
        self._console = console
        self._api = stack.endpoints["serving"].url.removesuffix("/docs")

    def show(self, airflow: AirflowClient, single: FacetCommand) -> None:
        """Print everything; ``single`` is the training of the model with one vector."""
        release = current_release(open_registry(self._settings))
        assert release is not None, "publish_release succeeded"
        judging = {
            "popularity": self._evaluate(release.bundle_path(self._settings, "popular")),
            "four vectors": self._evaluate(release.bundle_path(self._settings, "interests")),
        }
        world = World(self._settings, self._day)
        users = [world.user_with(num_interests) for num_interests in PLANTED_SHOWN]
        self._wait_for_release(release.version)
        answers = [self._recall(user.user_id) for user in users]
        bundle = single.result()["bundle"]
        judging["one vector"] = self._evaluate(bundle)
        one_vector = self._recall_batch(bundle, users)
        for user, answer in zip(users, answers, strict=True):
            self._show_user(world, user, answer, one_vector[user.user_id])
        self._show_metrics({name: command.result() for name, command in judging.items()})
        self._show_runs(airflow)
        self._show_urls(users[-1])

    def _evaluate(self, bundle: object) -> FacetCommand:
        return self._facet("evaluate", str(bundle), "--days", self._day)

    def _recall_batch(self, bundle: str, users: list[DemoUser]) -> dict[int, list[int]]:
        """Video ids from one bundle for each user, best first."""
        asked, found = self._settings.root / "demo_users.parquet", self._settings.root / "demo_lists.parquet"
        pq.write_table(pa.table({USER_ID: pa.array([user.user_id for user in users], pa.int64())}), asked)
        options = {
            "--bundle": bundle,
            "--users": asked,
            "--as-of": self._day,
            "--top-n": TOP_N,
            "--out": found,
        }
        self._facet("recall-batch", *(str(part) for option in options.items() for part in option)).result()
        lists: dict[int, list[int]] = {}
        for row in pq.read_table(found).to_pylist():
            lists.setdefault(row[USER_ID], []).append(row[VIDEO_ID])
        return lists

    def _facet(self, *arguments: str) -> FacetCommand:
        log = self._stack.logs / f"facet_{arguments[0]}_{time.monotonic_ns()}.log"
        return FacetCommand(list(arguments), self._stack.environment, log)

    def _wait_for_release(self, version: str) -> None:
        end = time.monotonic() + RELEASE_SECONDS
        while True:
            answer = httpx.get(f"{self._api}/v1/release", timeout=10)
            if answer.is_success and answer.json()["version"] == version:
                return
            if time.monotonic() > end:
                raise RetryLaterError(f"serving has not taken release {version}: {answer.text}")
            time.sleep(0.2)

    def _recall(self, user_id: int) -> Json:
        body = {"user_id": user_id, "top_n": TOP_N, "explain": True}
        answer: Json = httpx.post(f"{self._api}/v1/recall", json=body, timeout=30).raise_for_status().json()
        return answer

    def _show_user(self, world: World, user: DemoUser, answer: Json, one_vector: list[int]) -> None:
        shares = zip(user.planted, user.shares, strict=True)
        self._console.print()
        self._console.rule(f"[bold]user {user.user_id}[/], {user.num_watches} watches", align="left")
        self._console.print(
            "planted  " + ", ".join(f"[green]{name}[/] {share:.0%}" for name, share in shares)
        )
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0))
        for title, width in INTEREST_COLUMNS.items():
            table.add_column(title, min_width=width, max_width=width, no_wrap=True)
        table.add_column("candidates", ratio=1, no_wrap=True)
        for interest in answer["interests"]:
            own = [c["video_id"] for c in answer["candidates"] if c["interest"] == interest["interest"]]
            about = _planted_green(user, world.topic_counts(own)[0][0]) if own else "pruned"
            titles = " · ".join(world.titles[video] for video in own[:TITLES_SHOWN])
            tags = ", ".join(world.tags[tag] for tag in interest["top_tags"])
            weight = f"{interest['weight']:.0%}"
            table.add_row(str(interest["interest"]), weight, str(interest["num_kept"]), about, tags, titles)
        self._console.print(table)
        lists = {"four vectors": [c["video_id"] for c in answer["candidates"]], "one vector": one_vector}
        for name, videos in lists.items():
            counts = world.topic_counts(videos)
            met = [count for topic, count in counts if topic in user.planted]
            topics = ", ".join(
                f"{_planted_green(user, topic)} {count}" for topic, count in counts[:TOPICS_SHOWN]
            )
            found = f"{sum(met):2} of {len(videos)} on {len(met)} of {len(user.planted)} planted"
            self._console.print(f"{name:12} {found}: {topics}", no_wrap=True)

    def _show_metrics(self, metrics: dict[str, dict[str, Any]]) -> None:
        self._console.rule(f"[bold]judged on {self._day}, trained on the days before[/]")
        names = {
            "recall_at_50": "recall_at_50",
            "ndcg_at_50": "ndcg_at_50",
            "coverage": "coverage",
            "tag_diversity": "tags in top 50",
            "mean_cosine": "cosine of interests",
        }
        table = Table("", *names.values(), box=None)
        for model, found in metrics.items():
            table.add_row(model, *(_number(found[name]) for name in names))
        self._console.print(table)

    def _show_runs(self, airflow: AirflowClient) -> None:
        self._console.rule("[bold]what Airflow says[/]")
        table = Table("DAG", "started by", "state", "seconds", box=None)
        for run in airflow.runs():
            style = "green" if run["state"] == "success" else "red"
            seconds = f"{run['duration']:.0f}" if run["duration"] else ""
            started_by = run["conf"].get("days") or run["run_type"].replace("_", " ")
            table.add_row(run["dag_id"], started_by, f"[{style}]{run['state']}[/]", seconds)
        self._console.print(table)
        errors = run_airflow(["dags", "list-import-errors"], self._stack.environment).strip().splitlines()
        self._console.print(f"import errors: {errors[-1] if errors else 'none'}")

    def _show_urls(self, user: DemoUser) -> None:
        self._console.rule("[bold]see it again[/]: FACET_HOME=" + f"{self._settings.home} make up")
        for endpoint in self._stack.all_endpoints.values():
            self._console.print(f"{endpoint.title:12} {endpoint.url}")
        self._console.print(f"{'Explorer':12} {self._api}/explore/{user.user_id}")


def _planted_green(user: DemoUser, topic: str) -> str:
    return f"[green]{topic}[/]" if topic in user.planted else topic


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
