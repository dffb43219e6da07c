"""``facet serve``: the API in this process, until a signal comes."""

import gc
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from features.settings import Settings
from serving.embedded import kept_milvus
from serving.settings import ServingSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from features.store import FeatureStore
    from serving.live import LiveRecaller
    from serving.pages.ops import Operations

NOT_FOR_SERVING: Final = ("torch", "mlflow")
SHUTDOWN_SECONDS: Final = 10
FREEZE_LOOK_SECONDS: Final = 1.0


def serve(*, keep_milvus: bool = True) -> None:
    """Serve recall over HTTP until SIGTERM or Ctrl-C; requests under way are finished first.

    It answers ``/healthz`` at once and ``/readyz`` as soon as the live release is open and warm.

    Args:
        keep_milvus: see ``kept_milvus``.
    """
    import uvicorn

    settings, serving_settings = Settings(), ServingSettings()
    if serving_settings.log_format == "json":
        _log_json()
    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises it again when it is done, and Milvus ends after it
    with kept_milvus(serving_settings, settings) if keep_milvus else nullcontext():
        uvicorn.run(
            build_app(settings, serving_settings),
            host=serving_settings.host,
            port=serving_settings.port,
            access_log=False,  # /metrics counts requests; a line for each would drown the events
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )


def _exit(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)


def build_app(settings: Settings, serving_settings: ServingSettings) -> "FastAPI":
    """The app over the real feature store and Milvus. The process is for serving alone from here on."""
    keep_out(NOT_FOR_SERVING)
    from features.landing_log import LandingLog
    from features.schema import EXPOSURES, WATCHES
    from serving.app import Parts, create_app
    from serving.dag_runs import AirflowApi
    from serving.events import EventSink
    from serving.exposures import ExposureLog
    from serving.impressions import ImpressionSink
    from serving.live import LiveRecaller
    from serving.metrics import Metrics  # before Feast, which is imported with the first release
    from serving.offline import OfflineVideos
    from serving.pages.access import PageAccess
    from serving.pages.explorer import explorer_router
    from serving.pages.ops import Operations, ops_router
    from serving.state_metrics import StateMetrics
    from serving.task_files import TaskFiles
    from serving.tracing import open_tracer

    metrics, offline = Metrics(TaskFiles(settings.metrics)), OfflineVideos(settings)
    live = LiveRecaller(settings, serving_settings, metrics=metrics, hidden=lambda: offline.ids)
    StateMetrics(settings, live, metrics)
    operations = Operations(settings, live, metrics, AirflowApi.of(serving_settings))
    watches, open_store = LandingLog(settings, WATCHES), partial(_open_store, settings)
    parts = Parts(
        live=live,
        events=EventSink(watches, open_store, live.durations, settings.rule, metrics),
        exposures=ExposureLog(LandingLog(settings, EXPOSURES), metrics, ImpressionSink(open_store, metrics))
        if serving_settings.exposures
        else None,
        offline=offline,
        metrics=metrics,
        admin_key=serving_settings.admin_key,
        rate_limit=serving_settings.rate_limit,
        tracer=open_tracer(serving_settings.otel_endpoint) if serving_settings.otel_endpoint else None,
        chores=[
            *_chores(operations, serving_settings.index_check_seconds),
            (_heap_freezer(live), FREEZE_LOOK_SECONDS),
        ],
        pages=PageAccess(
            serving_settings.pages,
            serving_settings.host,
            serving_settings.admin_key,
            framed_by=serving_settings.airflow_url,
        ),
        page_routers=(explorer_router(live, settings), ops_router(operations)),
    )
    return create_app(parts, poll_seconds=serving_settings.release_poll_seconds)


def _chores(operations: "Operations", index_check_seconds: float) -> list[tuple[Callable[[], object], float]]:
    """Work beside the answers, and every how many seconds."""
    from serving.index_checks import IndexChecks
    from serving.recent_figures import TAKE_SECONDS

    checks = IndexChecks(operations.live.indexes, operations.metrics.note_index_check)
    chores: list[tuple[Callable[[], object], float]] = [(operations.figures.take, TAKE_SECONDS)]
    return chores + ([(checks.run, index_check_seconds)] if index_check_seconds else [])


def _heap_freezer(live: "LiveRecaller") -> Callable[[], None]:
    """Once, when a release is open: from then on the garbage collector leaves alone what start-up made.

    A pass over the imports of Feast and pymilvus stops every thread for some 0.3 s.
    """
    is_frozen = False

    def freeze() -> None:
        nonlocal is_frozen
        if not is_frozen and not live.problems().get("release"):
            gc.collect()
            gc.freeze()
            is_frozen = True

    return freeze


def _log_json() -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


def _open_store(settings: Settings) -> "FeatureStore":
    from features.store import FeatureStore

    return FeatureStore(settings)


def keep_out(modules: tuple[str, ...]) -> None:
    """Let imports of ``modules`` fail in this process.

    Feast imports torch wherever it is installed and goes on without it (feast/torch_wrapper.py); serving
    never uses it, and it costs 3 s and some 300 MB.
    """
    for name in modules:
        sys.modules.setdefault(name, cast(Any, None))
