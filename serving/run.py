"""``facet serve``: the API in this process, until a signal comes."""

from features.settings import Settings
from serving.settings import ServingSettings


def serve(settings: Settings | None = None, serving_settings: ServingSettings | None = None) -> None:
    """Serve recall over HTTP until SIGTERM or Ctrl-C; requests under way are finished first.

    It answers ``/healthz`` at once and ``/readyz`` as soon as the live release is open and warm.
    """
    import uvicorn

    from serving.app import create_app
    from serving.live import LiveRecaller
    from serving.metrics import Metrics

    serving_settings = serving_settings or ServingSettings()
    metrics = Metrics()
    live = LiveRecaller(settings or Settings(), serving_settings, metrics=metrics)
    app = create_app(live, metrics, poll_seconds=serving_settings.release_poll_seconds)
    uvicorn.run(
        app,
        host=serving_settings.host,
        port=serving_settings.port,
        access_log=False,  # /metrics counts requests; a line for each would drown the events
        timeout_graceful_shutdown=10,
    )
