"""A real Chromium for tests of pages, a plugin of pytest, and what every page must hold."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1280, 900), (390, 844)
"""Widths and heights in CSS pixels."""
WAIT_MS: Final = 60_000
"""A busy machine is no reason to fail."""
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")  # playwright's event loop runs in this thread until it ends
def browser() -> Iterator[Browser]:
    """Chromium without a window, one for a file of tests; fails where it is not installed."""
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing; `make test` installs it (docker/install-packages.sh)")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(url, size=DESKTOP, dark=False, script=True)``; errors of its script fail the test."""
    contexts, complaints = [], list[str]()

    def open_(url: str, *, size: tuple[int, int] = DESKTOP, dark: bool = False, script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


def serious_findings(page: Page) -> list[dict[str, Any]]:
    """What axe finds serious or critical, with the elements it means."""
    found = Axe().run(page).response["violations"]
    return [
        {"rule": one["id"], "where": [node["html"][:200] for node in one["nodes"]]}
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def scrolls_sideways(page: Page) -> bool:
    """Whether something is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
