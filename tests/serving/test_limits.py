"""Bodies that are too large and clients that are too fast are turned away, and nobody else."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import ValidationError

from serving.limits import BodyLimit, RateLimit
from serving.settings import ServingSettings


def echo() -> FastAPI:
    app = FastAPI()

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    return app


def parts(number: int) -> Iterator[bytes]:
    """A body without a stated length."""
    yield from [b"x" * 10] * number


def test_a_body_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    app = echo()
    app.add_middleware(BodyLimit, max_bytes=100)
    client = TestClient(app)
    assert client.post("/size", content=b"x" * 100).json() == 100
    refused = client.post("/size", content=b"x" * 101)
    assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")
    assert "larger than 100 bytes" in refused.json()["detail"]
    assert client.post("/size", content=parts(10)).json() == 100
    assert client.post("/size", content=parts(11)).status_code == 413


def test_each_address_has_a_rate_and_health_is_free() -> None:
    app = echo()
    app.add_middleware(RateLimit, rate="3/hour")
    fast, other = (TestClient(app, client=(address, 1)) for address in ("10.0.0.1", "10.0.0.2"))
    assert [fast.post("/size").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert other.post("/size").status_code == 200
    assert fast.get("/healthz").status_code == 200
    refused = fast.post("/size")
    assert refused.headers["retry-after"] == "3600"
    assert "3 per 1 hour" in refused.json()["detail"]


def test_a_rate_that_cannot_be_read_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="rate_limit"):
        ServingSettings(rate_limit="often")
