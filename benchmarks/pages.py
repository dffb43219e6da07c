"""How fast the pages are there in a browser: operations, explorer, and one user with history, list and map.

    FACET_HOME=var/demo python -m benchmarks.pages [--repeats 20] [--user ID]

Runs ``facet serve`` on the live release of the home, with Milvus Lite unless ``FACET_MILVUS_URI`` answers,
and loads every page in Debian's Chromium: cold in a new context each time, with nothing cached and no
connection, then warm in the same one. Seconds from the start of the navigation: first byte, load event,
largest contentful paint; for a page with a map also from scrolling to it until it is drawn. ``first`` is the
first load after the start of the service. Prints median and worst, writes FACET_HOME/bench/pages.json, and
ends with 1 if the median cold load of a page takes longer than a second.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from benchmarks.report import report
from features.release import current_release, open_registry
from features.settings import Settings
from serving.embedded import milvus_server
from serving.pages.examples import example_users
from serving.settings import ServingSettings
from serving.standalone import free_ports

REPOSITORY: Final = Path(__file__).parent.parent
CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SIZE: Final = {"width": 1280, "height": 900}
START_SECONDS: Final = 600.0
LIMIT_SECONDS: Final = 1.0
PAINT_MS: Final = 100
"""Chromium reports a paint some time after the load event."""
TIMES: Final = """
() => new Promise((told) => {
  const [load] = performance.getEntriesByType("navigation");
  let painted = null;
  new PerformanceObserver((list) => { painted = list.getEntries().at(-1).startTime; })
    .observe({ type: "largest-contentful-paint", buffered: true });
  setTimeout(() => told({ first_byte: load.responseStart, load: load.loadEventEnd, painted }), %d);
})
"""
Seconds = dict[str, float]


def main() -> None:
    """Serve, measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=20, help="loads of each page, cold and warm")
    parser.add_argument("--user", type=int, help="whose page; an active one of the training if unset")
    options = parser.parse_args()
    settings, milvus = Settings(), ServingSettings()
    paths = ["/ops", "/explore", f"/explore/{_user(settings) if options.user is None else options.user}"]
    with milvus_server(milvus, settings), _serving() as url, _browser() as browser:
        found = {path: _measure(browser, url + path, options.repeats) for path in paths}
    for path, kinds in found.items():
        for kind, figures in kinds.items():
            texts = (f"{name} {each['median']:.3f} ({each['worst']:.3f})" for name, each in figures.items())
            sys.stdout.write(f"{path:<16}{kind:<6}{', '.join(texts)}\n")
    report("pages", {"repeats": options.repeats, "pages": found}, shown=False)
    slow = [path for path in paths if found[path]["cold"]["load"]["median"] > LIMIT_SECONDS]
    sys.exit(f"slower than {LIMIT_SECONDS} s: {', '.join(slow)}" if slow else 0)


def _measure(browser: Browser, address: str, repeats: int) -> dict[str, dict[str, Seconds]]:
    loads: dict[str, list[Seconds]] = {"first": [], "cold": [], "warm": []}
    for number in range(repeats + 1):
        context = browser.new_context(viewport=SIZE)
        loads["cold" if number else "first"].append(_load(context, address))
        if number:
            loads["warm"].append(_load(context, address))
        context.close()
    return {kind: _summary(found) for kind, found in loads.items()}


def _load(context: BrowserContext, address: str) -> Seconds:
    """Seconds of one load."""
    page = context.new_page()
    page.goto(address)
    times = page.evaluate(TIMES % PAINT_MS)
    seconds = {name: ms / 1000 for name, ms in times.items() if ms is not None}
    if (figure := page.locator(".figure")).count():
        started = time.perf_counter()
        figure.scroll_into_view_if_needed()
        page.locator(".figure .main-svg").first.wait_for()
        seconds["map"] = time.perf_counter() - started
    page.close()
    return seconds


def _summary(loads: list[Seconds]) -> dict[str, Seconds]:
    names = [name for name in loads[0] if all(name in load for load in loads)]
    values = {name: [load[name] for load in loads] for name in names}
    return {name: {"median": float(np.median(own)), "worst": max(own)} for name, own in values.items()}


def _user(settings: Settings) -> int:
    release = current_release(open_registry(settings))
    users = example_users(settings, release) if release else []
    return users[-1].user_id if users else sys.exit(f"{settings.root} has no release with users; make demo")


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def _serving() -> Iterator[str]:
    """The address of ``facet serve``, which has opened the live release."""
    (port,) = free_ports(1)
    told = {"FACET_PORT": str(port), "FACET_HOST": "127.0.0.1", "FACET_PAGES": "open"}
    process = subprocess.Popen(
        [sys.executable, "-m", "facet", "serve"], cwd=REPOSITORY, env=os.environ | told
    )
    try:
        url, started = f"http://127.0.0.1:{port}", time.monotonic()
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                sys.exit("facet serve did not get ready; its log says why")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
