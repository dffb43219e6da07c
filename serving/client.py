"""A small typed client of the HTTP API, for Python applications.

::

    with FacetClient("http://127.0.0.1:8000") as facet:
        answer = facet.recall(7, top_n=200)
        facet.send([WatchEvent(event_id="...", user_id=7, video_id=answer.candidates[0].video_id, ...)])

Requests that could not be answered because something was restarting are sent again: every route may be
called twice, events count once by their id.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel

from serving.api import (
    BatchRequest,
    BatchResponse,
    InterestsResponse,
    Problem,
    RecallRequest,
    RecallResponse,
    ReleaseResponse,
    SimilarResponse,
)
from serving.event_bodies import EventBatch, EventsResponse, WatchEvent

R = TypeVar("R", bound=BaseModel)
PASSING: Final = frozenset({429, 503})
"""Worth another try."""
PAUSE_SECONDS: Final = 0.2


class FacetClientError(Exception):
    """The service refused, or could not be reached.

    Args:
        status: of HTTP; ``None`` if there was no answer at all.
    """

    def __init__(self, status: int | None, detail: str) -> None:
        super().__init__(f"{status or 'no answer'}: {detail}")
        self.status = status
        self.detail = detail


class FacetClient:
    """One service, over one pool of connections; safe to use from several threads.

    Args:
        timeout_seconds: of one attempt; of a batch, times its users, who are answered one after the other.
        attempts: at most so many, with pauses that double.
        transport: of httpx, for tests and special networks.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 2.0,
        attempts: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._attempts, self._timeout_seconds = attempts, timeout_seconds
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, transport=transport)

    def __enter__(self) -> "FacetClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recall(self, user_id: int, **options: Any) -> RecallResponse:  # noqa: ANN401 - of RecallRequest
        """Candidates of one user; ``options`` are the other fields of ``RecallRequest``."""
        request = RecallRequest(user_id=user_id, **options)
        return self._post("/v1/recall", request, RecallResponse)

    def recall_batch(
        self,
        user_ids: Sequence[int],
        **options: Any,  # noqa: ANN401 - of BatchRequest
    ) -> list[RecallResponse]:
        """The same for several users, in their order."""
        request = BatchRequest(user_ids=list(user_ids), **options)
        return self._post("/v1/recall:batch", request, BatchResponse, len(user_ids)).answers

    def send(self, events: Sequence[WatchEvent]) -> int:
        """Report watches; when this returns they are stored, and it gives their number."""
        return self._post("/v1/events", EventBatch(events=list(events)), EventsResponse).stored

    def interests(self, user_id: int) -> InterestsResponse:
        """What is known of a user's interests."""
        return self._get(f"/v1/users/{user_id}/interests", InterestsResponse)

    def similar(self, video_id: int, top_n: int = 20) -> SimilarResponse:
        """Videos nearest to a video."""
        return self._get(f"/v1/videos/{video_id}/similar", SimilarResponse, {"top_n": top_n})

    def release(self) -> ReleaseResponse:
        """What the service answers from."""
        return self._get("/v1/release", ReleaseResponse)

    def _post(self, path: str, body: BaseModel, kind: type[R], num_users: int = 1) -> R:
        # Options that were left out stay out: the service knows its defaults.
        sent = body.model_dump(mode="json", exclude_unset=True)
        return self._ask("POST", path, kind, json=sent, timeout=self._timeout_seconds * num_users)

    def _get(self, path: str, kind: type[R], query: Mapping[str, Any] | None = None) -> R:
        return self._ask("GET", path, kind, params=query)

    def _ask(self, method: str, path: str, kind: type[R], **request: Any) -> R:  # noqa: ANN401 - of httpx
        problem = FacetClientError(None, "not asked")
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                reply = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                problem = FacetClientError(None, str(error) or type(error).__name__)
                continue
            if reply.is_success:
                return kind.model_validate_json(reply.content)
            problem = FacetClientError(reply.status_code, _detail(reply))
            if reply.status_code not in PASSING:
                break
        raise problem


def _detail(reply: httpx.Response) -> str:
    is_problem = reply.headers.get("content-type", "").startswith("application/problem+json")
    return Problem.model_validate_json(reply.content).detail if is_problem else reply.text
