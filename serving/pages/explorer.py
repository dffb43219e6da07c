"""The explorer: what Facet knows of a user, finds for them, and why. For model engineers.

``/explore`` finds a user, ``/explore/{user_id}`` shows one; the query of the second is the request, so that
an address is a look that can be sent to somebody else.
"""

import time
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from features.errors import FacetError
from features.merge_config import INTERESTS, Arrangement
from features.settings import Settings
from serving.api import Id
from serving.errors import NoReleaseError
from serving.live import LiveRecaller
from serving.pages.compared import compare
from serving.pages.examples import example_users
from serving.pages.layout import COLOURS, figure, page
from serving.pages.look import Asked, Look, Looker, top_uploaders
from serving.pages.map_figure import map_figure
from serving.recall import Recaller
from serving.result import Reason
from serving.video_map import VideoMap, read_map

MAX_TOP_N: Final = 200
EXPLORE: Final = "/explore"
ANSWER_ONLY: Final = "X-Answer-Only"
"""Header of a script that has the rest of the page already: the map need not be made."""
ARM: Final = "arm:"
"""Before the name of an arm, where a release could stand."""
MAX_ID: Final = 2**63 - 1
TROUBLES: Final = {
    Reason.UNKNOWN_USER: "Nothing is known of this user. The list holds popular videos.",
    Reason.NO_HISTORY: "No channel knows a video of this user's history. The list holds popular videos.",
    Reason.SHORT_LIST: "The channels found fewer videos than asked for; popular ones fill the list.",
    Reason.CHANNEL_LEFT_OUT: "A channel is missing from this answer; the others share its weight.",
    Reason.INDEX_UNAVAILABLE: "Milvus did not answer. The list is of popular videos.",
    Reason.FEATURES_UNAVAILABLE: "The feature store did not answer. The list is of popular videos.",
}


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


Blank = BeforeValidator(_blank_is_none)
"""A form sends empty fields as empty texts."""


class LookQuery(BaseModel):
    """What stands in the address; what is missing is as released."""

    model_config = ConfigDict(extra="ignore")

    top_n: Annotated[Annotated[int, Field(ge=1, le=MAX_TOP_N)] | None, Blank] = None
    category_diversity: Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, Blank] = None
    vector_diversity: Annotated[Annotated[float, Field(ge=0, lt=1)] | None, Blank] = None
    max_per_uploader: Annotated[PositiveInt | None, Blank] = None
    max_per_tag: Annotated[PositiveInt | None, Blank] = None
    against: Annotated[Annotated[str, Field(max_length=100)] | None, Blank] = None

    def asked(self, released: Arrangement) -> Asked:
        """The request; without a change to the arrangement, every release that is asked keeps its own."""
        fields = self.model_dump(include=set(Arrangement.model_fields))
        given = self.model_fields_set & set(Arrangement.model_fields)
        # An empty limit is no limit, an empty lambda is 0; only what the address lacks is as released.
        values = {name: fields[name] if fields[name] is not None else AS_EMPTY[name] for name in given}
        arrangement = released.model_copy(update=values)
        top_n = self.top_n or Asked().top_n
        return Asked(top_n, None if arrangement == released else arrangement)


AS_EMPTY: Final[dict[str, Any]] = Arrangement().model_dump()


def explorer_router(live: LiveRecaller, settings: Settings) -> APIRouter:
    """The routes."""
    router = APIRouter()
    looker = Looker(settings)

    @router.get("/", response_class=RedirectResponse)
    def home() -> RedirectResponse:
        """There is no other front page."""
        return RedirectResponse(EXPLORE)

    @router.get(EXPLORE, response_class=HTMLResponse)
    def explore(request: Request, user: Annotated[str | None, Query(max_length=100)] = None) -> Response:
        """A field for the user id, and some users."""
        if user is None or not user.strip():
            return _find(request, live, settings)
        text = user.strip()
        if text.isascii() and text.isdigit() and int(text) <= MAX_ID:
            return RedirectResponse(f"{EXPLORE}/{int(text)}", HTTPStatus.SEE_OTHER)
        complaint = f"{text!r} is no user id: ids are whole numbers from 0, as in the watch logs."
        return _find(request, live, settings, HTTPStatus.UNPROCESSABLE_ENTITY, text, complaint)

    @router.get(f"{EXPLORE}/{{user_id}}", response_class=HTMLResponse)
    def one(
        request: Request, user_id: Annotated[Id, Path()], query: Annotated[LookQuery, Query()]
    ) -> Response:
        """One user."""
        return _show(request, user_id, query, live, looker)

    return router


def _show(
    request: Request, user_id: int, query: LookQuery, live: LiveRecaller, looker: Looker
) -> HTMLResponse:
    started = time.perf_counter()
    try:
        recaller, arm = live.recaller_of(user_id)
    except NoReleaseError:
        return _find(request, live, looker.settings, HTTPStatus.SERVICE_UNAVAILABLE)
    recallers = [(f"arm {arm}" if arm else "live release", recaller)]
    troubles = []
    if query.against:
        try:
            recallers.append(_against(live, query.against))
        except FacetError as error:  # what was asked for is shown all the same
            troubles.append(f"Nothing to compare with: {error}.")
    asked = query.asked(recaller.release.merge.arrange)
    is_whole = ANSWER_ONLY not in request.headers
    video_map = read_map(looker.settings, recaller.release.bundles[INTERESTS]) if is_whole else None
    look = looker.look(user_id, asked, recallers, video_map.video_ids.tolist() if video_map else ())
    troubles = _troubles(look) + troubles
    reply = page(
        request,
        "user.html",
        title=f"User {user_id}",
        user_id=user_id,
        look=look,
        compared=compare(look) if len(look.sides) > 1 else None,
        asked=asked,
        shown=asked.arrangement or recaller.release.merge.arrange,
        changed=bool(query.model_fields_set),
        troubles=troubles,
        arm=arm,
        query=query,
        choices=_choices(live),
        names=looker.names,
        top_uploaders=top_uploaders,
        max_top_n=MAX_TOP_N,
        colours=COLOURS,
        interests_channel=INTERESTS,
        drawn=_figure(video_map, look) if video_map else None,
    )
    reply.headers["Server-Timing"] = f"page;dur={1000 * (time.perf_counter() - started):.1f}"
    return reply


def _find(
    request: Request,
    live: LiveRecaller,
    settings: Settings,
    status: HTTPStatus = HTTPStatus.OK,
    text: str = "",
    complaint: str = "",
) -> HTMLResponse:
    try:
        release, problem = live.recaller.release, ""
    except NoReleaseError as error:
        release, problem, status = None, str(error), HTTPStatus.SERVICE_UNAVAILABLE
    return page(
        request,
        "explore.html",
        status,
        title="Explorer",
        release=release,
        num_videos=len(live.recaller.catalogue) if release else 0,
        problem=problem,
        text=text,
        complaint=complaint,
        examples=example_users(settings, release) if release else [],
    )


def _against(live: LiveRecaller, name: str) -> tuple[str, Recaller]:
    if not name.startswith(ARM):
        return "kept release", live.kept(name)
    arm = name.removeprefix(ARM)
    arms = live.arms()
    if arm not in arms:
        raise NoReleaseError(f"no arm {arm} takes part now; there are {', '.join(sorted(arms)) or 'none'}")
    return f"arm {arm}", arms[arm]


def _troubles(look: Look) -> list[str]:
    """Why the answer is not, or not only, what all channels found, in words."""
    result = look.sides[0].result
    texts = [TROUBLES[result.reason]] if result.reason else []
    texts += [f"Channel {name} was left out ({why.value})." for name, why in result.left_out.items()]
    return texts


def _choices(live: LiveRecaller) -> list[tuple[str, str]]:
    """Value and text of everything that an answer can be compared with."""
    releases = [
        (
            entry.version,
            f"{entry.created_at:%d %b %H:%M}, {entry.state}: {entry.version}",
        )
        for entry in live.kept_releases()
    ]
    return [*((f"{ARM}{arm}", f"arm {arm}") for arm in sorted(live.arms())), *releases]


def _figure(video_map: VideoMap, look: Look) -> str:
    watched = list(dict.fromkeys(watch.video.video_id for watch in look.history))
    side = look.sides[0]
    return figure(map_figure(video_map, side.recaller, look.videos, watched, side.result.interests))
