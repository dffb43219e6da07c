"""Who may see the pages: they show histories of people.

``auto`` is open where the service listens on loopback *and* is addressed as such, so that neither another
machine nor a proxy in front nor a foreign page with a rebound name gets in. Everybody else needs the admin
key, as the password of the browser's own dialogue, whatever the user name; without a key there is no page.
"""

import base64
import hmac
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from pydantic import SecretStr

from serving.settings import LOOPBACK, PagesMode


@dataclass(frozen=True, slots=True)
class PageAccess:
    """A dependency of every page.

    Args:
        mode: ``FACET_PAGES``.
        host: address that the service listens on.
    """

    mode: PagesMode = "auto"
    host: str = "127.0.0.1"
    admin_key: SecretStr | None = None
    framed_by: str | None = None
    """Address whose pages may show these in a frame: Airflow's."""

    def is_open(self, request: Request) -> bool:
        """Whether this request needs no key."""
        if self.mode == "auto":
            return self.host in LOOPBACK and (request.url.hostname or "") in LOOPBACK
        return self.mode == "open"

    def __call__(self, request: Request) -> None:
        """Return if the request may pass.

        Raises:
            HTTPException: 404 where the pages are off, 401 where the key is missing or wrong.
        """
        request.state.framed_by = _origins(self.framed_by) if self.framed_by else None
        if self.mode != "off" and self.is_open(request):
            return
        if self.mode == "off" or not self.admin_key:
            raise HTTPException(HTTPStatus.NOT_FOUND, "the pages are off here; see FACET_PAGES")
        if not hmac.compare_digest(_password(request), self.admin_key.get_secret_value().encode()):
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "the pages need FACET_ADMIN_KEY as password; any user name will do",
                {"WWW-Authenticate": 'Basic realm="Facet", charset="UTF-8"'},
            )


def _origins(url: str) -> str:
    """For ``frame-ancestors``; a browser tells the names of this machine apart."""
    parts = urlsplit(url)
    hosts = ("127.0.0.1", "localhost") if parts.hostname in LOOPBACK else (parts.hostname,)
    port = f":{parts.port}" if parts.port else ""
    return " ".join(f"{parts.scheme}://{host}{port}" for host in hosts)


def _password(request: Request) -> bytes:
    kind, _, coded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return b""
    try:
        return base64.b64decode(coded, validate=True).partition(b":")[2]
    except ValueError:
        return b""
