"""A tab of a real browser over a server; a test file that takes anything from here is skipped where no browser is."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hosts_up import up
from reverse_proxy import proxied

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make test-all installs it")
# A click returns once the next page is on its way, not when it is there: what it must show is waited for, with `expect`.
sync_api.expect.set_options(timeout=60_000)
in_a_browser = [
    pytest.mark.full,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


@contextmanager
def browsed(root: Path, prefix: str = "") -> Iterator[tuple[Any, str, list[str]]]:
    """A tab, the address of a server over the store, and whatever went wrong in that tab.

    Args:
        root: The store's folder.
        prefix: The path below which a proxy shows the server, "" for no proxy.
    """
    wrong: list[str] = []
    with ExitStack() as stack:
        address, _ = stack.enter_context(up(root, *(["--prefix", prefix] if prefix else [])))
        if prefix:
            address = stack.enter_context(proxied(address, prefix))
        playwright = stack.enter_context(sync_api.sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else wrong.append(sent.url))
        page.on("response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None)
        yield page, address, wrong
        browser.close()


def photograph(tab: Any, path: Path) -> None:
    """Keep a page as it looks. Chromium cannot capture now and then, on a busy machine; it is asked three times.

    Raises:
        Error: It could not the third time.
    """
    for again in (True, True, False):
        try:
            tab.screenshot(path=path, full_page=True)
        except sync_api.Error as error:
            if not again or "Unable to capture" not in str(error):
                raise
            tab.wait_for_timeout(500)
        else:
            return
