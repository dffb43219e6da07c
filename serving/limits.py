"""What one client may send: so many requests in a time, and bodies of a size that cannot hurt.

Plain ASGI, in front of everything else. Each process counts for itself; a proxy that spreads one client over
several processes multiplies the limit.
"""

import json
from typing import Final

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES: Final = 2 * 2**20
"""A thousand events with all their fields are half of it."""
FREE_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Never counted: whoever watches the service must not be locked out by who uses it."""


class BodyLimit:
    """Answers 413 to a request whose body is larger than ``max_bytes``, whatever its headers say."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                detail = f"the body is larger than {self._max_bytes} bytes; send it in parts"
                return await _refuse(send, 413, "Content Too Large", detail)
        parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return parts.pop() if parts else await receive()

        return await self._app(scope, replay, send)


class RateLimit:
    """Answers 429 to a client beyond its rate.

    Args:
        rate: for example ``100/second``; every address has its own count.
    """

    def __init__(self, app: ASGIApp, rate: str) -> None:
        self._app = app
        self._rate = parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] in FREE_PATHS:
            return await self._app(scope, receive, send)
        client = scope["client"][0] if scope.get("client") else "unknown"
        if self._limiter.hit(self._rate, client):
            return await self._app(scope, receive, send)
        detail = f"more than {self._rate} from this address; slow down"
        wait = str(self._rate.get_expiry()).encode()
        return await _refuse(send, 429, "Too Many Requests", detail, [(b"retry-after", wait)])


async def _refuse(
    send: Send, status: int, title: str, detail: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    kind = (b"content-type", b"application/problem+json")
    await send({"type": "http.response.start", "status": status, "headers": [kind, *(headers or [])]})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})
