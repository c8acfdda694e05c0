"""Take the pictures of README and docs: `python docs/pictures.py STORE`, over the store that `slipway demo` left.

Chromium is needed: `apt-get install chromium`, and what `make test-all` installs.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import ViewportSize, sync_playwright

PROJECT = "projects/flight-delays"
PICTURES: dict[str, tuple[str, Literal["light", "dark"]]] = {
    "business": ("business/flight-delays", "light"),
    "monitoring": ("endpoints/flight-delays/monitoring", "light"),
}
"""By name: the project's page, and the colours."""

SIZE: ViewportSize = {"width": 1360, "height": 920}


def main(store: Path) -> None:
    """Serve the store, and take each picture."""
    here = Path(__file__).parent / "pictures"
    command = [sys.executable, "-c", "from slipway.cli import main; main()", "up", "--root", str(store), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"https?://\S+", server.stdout.readline())
        if found is None:
            raise SystemExit(f"No server came up over {store}.")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, (page, scheme) in PICTURES.items():
                tab = browser.new_page(viewport=SIZE, color_scheme=scheme)
                answer = tab.goto(f"{found[0]}/{PROJECT}/{page}")
                if answer is None or not answer.ok:
                    raise SystemExit(f"The page {page!r} answered {answer and answer.status}.")
                tab.screenshot(path=here / f"{name}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
