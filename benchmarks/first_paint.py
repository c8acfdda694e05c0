"""How long a browser shows nothing: first contentful paint in Chromium, each page in a window that has kept nothing.

By hand: the very bytes of the page, its sheet and its script from a file server that knows nothing, on the same loopback,
so that what is left over is making the page. Times are Chromium's own (Paint Timing, W3C), from the start of the
navigation; medians of the turns. Where a page is seen before what is slow is known, another row says when all of it was
there. The store is that of the pages of runs, with an endpoint of 92 days and 2,000 answered rows a day, 20 inputs, a label
for each; and 20,000 sealed events.
"""

import re
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks import pages, watched_endpoint
from benchmarks.pairs import compare, row
from slipway.hosts.project import open_workspace

RUNS, METRICS, LARGE, COMPARED, PAIRS = 2_000, 50, 12_000, 100, 7
DAYS, ROWS_A_DAY, EVENTS = 92, 2_000, 20_000
GOAL_MS = 500.0
REMARK = ""

_PATH = "first paint"
_WINDOWS, _LOOKS = 10, 60
_BUSY = "main [aria-busy]"
_FCP = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def run(
    runs: int = RUNS,
    metrics: int = METRICS,
    large: int = LARGE,
    compared: int = COMPARED,
    pairs: int = PAIRS,
    days: int = DAYS,
    rows_a_day: int = ROWS_A_DAY,
    events: int = EVENTS,
) -> list[dict[str, Any]]:
    """Rows of the table; none where there is no browser."""
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        return []
    from playwright.sync_api import sync_playwright  # where there is a browser only

    endpoint = f"/projects/bench/endpoints/{watched_endpoint.NAME}"
    shown = {
        "an endpoint": endpoint,
        "its monitoring, 30 days": f"{endpoint}/monitoring",
        "its monitoring, all that is kept": f"{endpoint}/monitoring?period=all",
        "the audit log": "/projects/bench/audit",
        "the first page": "/",
        "a project": "/projects/bench",
        "the list of runs": "/projects/bench/runs",
        f"{compared} runs compared": "/projects/bench/runs/compare?"
        + "&".join(f"run={number:032x}" for number in range(runs - compared, runs)),
        "the run with 12,000 metrics": f"/projects/bench/runs/{'f' * 32}",
        "everything that executes": "/executions",
        "the portfolio": "/portfolio",
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        pages.fill(root / "store", runs, metrics, large)
        workspace = open_workspace(root / "store", project="bench")
        watched_endpoint.fill(workspace, days, rows_a_day)
        watched_endpoint.happened(workspace, events)
        workspace.ledger.close()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with pages.served(root / "store") as (connection, _), _files(root / "files") as files:
            server = f"http://{connection.host}:{connection.port}"
            for name, page in shown.items():
                is_first = _kept(f"{server}{page}", server, root / "files")
                painted = partial(_painted, browser)
                found = compare(partial(painted, files), partial(painted, f"{server}{page}"), pairs)
                rows.append(row(_PATH, f"{name}, ms", found, goal=GOAL_MS))
                if is_first:
                    whole = statistics.median(_filled(browser, f"{server}{page}") for _ in range(pairs))
                    rows.append(
                        {
                            "path": _PATH,
                            "what": f"{name}, all of it there, ms",
                            "raw": None,
                            "slipway": whole,
                            "ratio": None,
                        }
                    )
        browser.close()
    return rows


def _painted(browser: Any, address: str) -> float:
    """Milliseconds until something is to be seen, in a window of its own; one that was never painted says nothing."""
    for _ in range(_WINDOWS):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        try:
            tab = context.new_page()
            tab.goto(address, wait_until="load")
            for _ in range(_LOOKS):
                if found := float(tab.evaluate(_FCP)):
                    return found
                tab.wait_for_timeout(50)
        finally:
            context.close()
    raise RuntimeError(f"Chromium painted none of {_WINDOWS} windows of {address}.")


def _filled(browser: Any, address: str) -> float:
    """Milliseconds until nothing of a page is waited for any more."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        tab = context.new_page()
        tab.goto(address, wait_until="load")
        tab.locator(_BUSY).first.wait_for(state="detached", timeout=120_000)
        return float(tab.evaluate("performance.now()"))


def _kept(address: str, server: str, folder: Path) -> bool:
    """A page as a browser gets it, its sheet and its script as files; whether more of it follows."""
    with urlopen(Request(address, headers={"Accept": "text/html"})) as answer:
        text: str = answer.read().decode()
    (folder / "index.html").write_text(text)
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', text):
        with urlopen(f"{server}{path}") as answer:
            (folder / path[1:]).write_bytes(answer.read())
    return "aria-busy" in text


@contextmanager
def _files(folder: Path) -> Iterator[str]:
    """A server of files, and its address."""
    (folder / "static").mkdir(parents=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
