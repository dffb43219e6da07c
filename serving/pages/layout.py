"""What all pages share: templates, style, and Plotly's own script from the installed package, no CDN.

A page is ``page(request, "name.html", ...)`` over a template that extends ``base.html``. A figure is made in
Python and handed to the template as ``figure(...)``; Plotly's script is loaded only by pages that hold one.
"""

import gzip
import hashlib
import importlib.util
import mimetypes
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

API: Final = "/v1/"
STATIC: Final = "/static"
PLOTLY: Final = "plotly.min.js"
NAVIGATION: Final = (("/explore", "Explorer"), ("/ops", "Operations"), ("/docs", "API"))
COLOURS: Final = ("#3b7dd8", "#d9731a", "#2a9d6e", "#b4509e", "#a08a1c", "#7a63d2", "#1f97ab", "#d2506a")
"""Read on white and on near black; number k of a page always gets the same one."""
PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",  # pages show histories of people
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors {framed_by}; base-uri 'none'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
KEPT_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""The address of an asset holds the sum of its content, so what is cached is never old."""
_ASSETS: Final = Path(__file__).parent / "assets"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    content: bytes
    packed: bytes
    """The same as gzip."""
    tag: str
    """Sum of the content."""
    kind: str


def page(request: Request, template: str, status: int = HTTPStatus.OK, **context: object) -> HTMLResponse:
    """A template as an answer; ``title`` is what the window is called."""
    text = _environment().get_template(template).render(path=request.url.path, status=int(status), **context)
    framed_by = getattr(request.state, "framed_by", None) or "'none'"
    return HTMLResponse(text, status, {n: h.format(framed_by=framed_by) for n, h in PAGE_HEADERS.items()})


def wants_page(request: Request) -> bool:
    """Whether an error is better told as a page: a browser asks, and not for the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(API)


def figure(made: "Figure") -> str:
    """A Plotly figure as the JSON that ``macros.figure`` takes; the style colours its text and grid."""
    made.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif"},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
    )
    text = made.to_json()
    return str(text).replace("<", "\\u003c")  # nothing in it can end the script element that holds it


def static_router() -> APIRouter:
    """The route of everything that pages load."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"{STATIC}/{{tag}}/{{name}}")
    def static(request: Request, tag: str, name: str) -> Response:
        """A file of ``assets`` or Plotly's script; ``tag`` is the sum of its content."""
        if name not in _names() or (found := asset(name)).tag != tag:
            raise HTTPException(
                HTTPStatus.NOT_FOUND, f"no asset {name!r} of that version; load the page again"
            )
        headers = {"Cache-Control": KEPT_FOR_EVER, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(found.content, headers=headers, media_type=found.kind)
        return Response(found.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.kind)

    return router


@cache
def asset(name: str) -> Asset:
    """One file, read once per process."""
    content = (_plotly() if name == PLOTLY else _ASSETS / name).read_bytes()
    tag = hashlib.sha256(content).hexdigest()[:16]
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(content, gzip.compress(content, 6), tag, kind)


def asset_path(name: str) -> str:
    """Where pages load it from."""
    return f"{STATIC}/{asset(name).tag}/{name}"


@cache
def _names() -> frozenset[str]:
    return frozenset({PLOTLY, *(path.name for path in _ASSETS.iterdir())})


def _plotly() -> Path:
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("plotly is not installed; run `make install`")
    return Path(spec.origin).parent / "package_data" / PLOTLY


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("serving", "pages/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset_path=asset_path, navigation=NAVIGATION, plotly=PLOTLY)
    return environment
