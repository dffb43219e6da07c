"""An OTLP collector on loopback that keeps what it is sent: the messages of the protocol, over HTTP."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """What came, and where to send it."""

    url: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)
    """Name, service and attributes of every span, flat; ids in hexadecimal."""
    metrics: set[str] = field(default_factory=set)
    """Names."""

    def take(self, path: str, body: bytes) -> bool:
        """Keep one message; ``False`` if the protocol has no such path."""
        if path == "/v1/traces":
            self._take_spans(ExportTraceServiceRequest.FromString(body))
        elif path == "/v1/metrics":
            of_all = ExportMetricsServiceRequest.FromString(body).resource_metrics
            self.metrics |= {m.name for r in of_all for scope in r.scope_metrics for m in scope.metrics}
        else:
            return False
        return True

    def _take_spans(self, message: ExportTraceServiceRequest) -> None:
        for resource in message.resource_spans:
            of_process = _values(resource.resource.attributes)
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                told = {"name": span.name, "trace_id": span.trace_id.hex(), **_values(span.attributes)}
                self.spans.append(told | {"service.name": of_process["service.name"]})


def _values(attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - a repeated field of the protocol
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens until the end of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self.send_response(200 if collector.take(self.path, body) else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
