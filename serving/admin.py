"""Routes for operators: behind a key, apart from those that applications use."""

import hmac
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from serving.api import Id, problem_responses
from serving.offline import OfflineVideos

HEADER: Final = "X-API-Key"
MAX_VIDEOS: Final = 1000


class VideosRequest(BaseModel):
    """Which videos."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"video_ids": [4711, 4712]}})

    video_ids: list[Id] = Field(min_length=1, max_length=MAX_VIDEOS)


class OfflineResponse(BaseModel):
    """The whole list, after the change."""

    model_config = ConfigDict(json_schema_extra={"example": {"video_ids": [17, 4711, 4712]}})

    video_ids: list[int]


def admin_router(offline: OfflineVideos, key: SecretStr | None) -> APIRouter:
    """The routes.

    Args:
        key: what ``X-API-Key`` must say; without one nobody may use them.
    """

    def allowed(given: Annotated[str | None, Depends(APIKeyHeader(name=HEADER, auto_error=False))]) -> None:
        if key is None:
            raise HTTPException(403, "admin routes are off; set FACET_ADMIN_KEY and restart")
        # Starlette reads headers as Latin-1; a key in other letters comes as UTF-8 bytes.
        if given is None or not hmac.compare_digest(given.encode("latin-1"), key.get_secret_value().encode()):
            raise HTTPException(401, f"{HEADER} is missing or wrong")

    router = APIRouter(tags=["admin"], dependencies=[Depends(allowed)], responses=problem_responses(401, 403))

    @router.get("/v1/videos:offline")
    def listed() -> OfflineResponse:
        """Videos that no answer contains."""
        offline.refresh()
        return OfflineResponse(video_ids=offline.ids.tolist())

    @router.post("/v1/videos:offline", responses=problem_responses(422))
    def hide(request: VideosRequest) -> OfflineResponse:
        """Show these videos to nobody: at once here, within seconds in every other serving process."""
        offline.hide(request.video_ids)
        return OfflineResponse(video_ids=offline.ids.tolist())

    @router.post("/v1/videos:online", responses=problem_responses(422))
    def show(request: VideosRequest) -> OfflineResponse:
        """Take videos off the list again."""
        offline.show(request.video_ids)
        return OfflineResponse(video_ids=offline.ids.tolist())

    return router
