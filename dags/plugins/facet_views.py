"""Facet in Airflow's navigation: the pages of the serving app, and the reports of a home as files.

The pages are frames, so serving must know Airflow's address, ``FACET_AIRFLOW_URL``. Reports are given only to
people whom Airflow knows: Data Docs show rows of users.
"""

from functools import cache
from typing import Any, Final
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

from dags.form import REPORTS
from serving.settings import ServingSettings

PATHS: Final = {
    "explorer": ("Explorer", "/explore", "M4 11a7 7 0 1 1 14 0a7 7 0 1 1-14 0M16 16l5 5"),
    "operations": ("Operations", "/ops", "M2 12h5l3-8l4 16l3-8h5"),
}
"""Route to title, page of the serving app, and lines of the icon in a square of 24."""


def views() -> list[dict[str, str]]:
    """One entry of the navigation for each page."""
    url = ServingSettings().serving_url
    return [
        {
            "name": f"Recall {title.lower()}",
            "href": f"{url}{path}",
            "destination": "nav",
            "category": "browse",
            "url_route": f"recall-{route}",
            "icon": _icon(lines, "#3f3f46"),
            "icon_dark_mode": _icon(lines, "#e4e4e7"),
        }
        for route, (title, path, lines) in PATHS.items()
    ]


class Reports:
    """ASGI app: files below ``FACET_HOME/reports``. Built when asked first: every process loads plugins."""

    async def __call__(self, *connection: Any) -> None:  # noqa: ANN401 - scope, receive, send
        """One request."""
        await _reports()(*connection)


@cache
def _reports() -> Any:  # noqa: ANN401 - FastAPI, imported where Airflow's API runs
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI, Request, Response
    from fastapi.staticfiles import StaticFiles

    from features.settings import Settings

    app = FastAPI(openapi_url=None, dependencies=[Depends(get_user)])
    files = StaticFiles(directory=Settings().reports, html=True, check_dir=False)

    @app.get("/{path:path}")
    async def report(path: str, request: Request) -> Response:
        return await files.get_response(path or ".", request.scope)

    return app


def _icon(lines: str, colour: str) -> str:
    style = f"fill='none' stroke='{colour}' stroke-width='2' stroke-linecap='round'"
    return "data:image/svg+xml," + quote(
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' {style}><path d='{lines}'/></svg>"
    )


class FacetViews(AirflowPlugin):
    """What Airflow loads."""

    name = "facet_views"
    external_views = views()
    fastapi_apps: Final = [{"app": Reports(), "url_prefix": REPORTS, "name": "Facet reports"}]
