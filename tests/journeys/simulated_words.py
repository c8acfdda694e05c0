"""Walks a store whose rows a program made up: every page, chart, JSON answer and export has the word."""

import json
import re
import zipfile
from pathlib import Path

import httpx
from click.testing import CliRunner

from slipway.cli import main

CHART = re.compile(r'<svg xmlns.*?class="chart.*?</svg>', re.DOTALL)
LINK = re.compile(r'href="(/[^"#]*)')
WITHOUT_FIGURES = ("/runbook/", "/static/", "/api/v1/openapi.json", "/login", "/settings", "/people")
MADE_OF_BYTES = ("/download", "/image", "/diff", "/pdf")
DOCUMENT = re.compile(r"/documents/[^/]+/[^/]+/as/(json|markdown|html)$")


def pages_without(address: str) -> tuple[list[str], int, int]:
    """All that is reached by links from the first page: what lacks the word; how many pages and charts there were."""
    missing: list[str] = []
    seen, waiting, pages, charts = {"/"}, ["/"], 0, 0
    with httpx.Client(base_url=address, timeout=60) as http:
        while waiting:
            path = waiting.pop()
            answer = http.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
            if path.startswith("/api/"):
                missing += [] if '"simulated_tables":["offers","rival_fares"]' in answer.text[:80] else [path]
                continue
            if file := DOCUMENT.search(path.partition("?")[0]):
                is_said = bool(answer.json()["simulated"]) if file[1] == "json" else "SIMULATED" in answer.text
                missing += [] if is_said else [path]
                continue
            pages += 1
            main_part = answer.text.partition('<main id="main"')[2]
            is_empty = path == "/inbox" and "/projects/" not in main_part
            missing += [] if is_empty or "<strong>SIMULATED</strong>" in main_part[:200] else [path]
            drawn = CHART.findall(answer.text)
            charts += len(drawn)
            missing += [f"a chart on {path}" for one in drawn if "SIMULATED" not in one]
            for link in LINK.findall(answer.text):
                found = link.replace("&amp;", "&")
                place = found.partition("?")[0]
                is_of_project = not place.startswith("/api/") or place.startswith("/api/v1/projects/")
                if place not in seen and is_of_project and not place.startswith(WITHOUT_FIGURES):
                    seen.add(place)
                    waiting += [] if place.endswith(MADE_OF_BYTES) else [found]
    return missing, pages, charts


def reports_without(folder: Path, commands: list[list[str]]) -> list[str]:
    """Commands whose answer lacks the word, for people or as JSON."""
    missing = []
    for words in commands:
        for form in ([], ["--json"]):
            answer = CliRunner().invoke(main, [*words, "-C", str(folder), *form])
            assert answer.exit_code == 0, (words, answer.output)
            said = answer.output.strip()
            is_said = "simulated_tables" in json.loads(said.splitlines()[-1]) if form else "SIMULATED" in said
            missing += [] if is_said else [" ".join([*words, *form])]
    return missing


def exports_without(folder: Path, target: Path) -> list[str]:
    """Files that leave the store and lack the word: a Delta table, the audit's file, what a caller gets."""
    missing = []
    for words in (
        ["data", "export", "offers"],
        ["audit", "export", "--since", "2013-01-01", "-o", str(target / "audit.zip")],
        ["client", "ticket-prices", "--out", str(target / "client")],
    ):
        answer = CliRunner().invoke(main, [*words, "-C", str(folder)])
        assert answer.exit_code == 0, (words, answer.output)
    (log,) = folder.glob(".slipway/**/offers/_delta_log")
    told = [json.loads(line) for file in sorted(log.glob("*.json")) for line in file.read_text().splitlines()]
    newest = [one["metaData"] for one in told if "metaData" in one][-1]
    missing += [] if newest["configuration"] == {"slipway.origin": "simulated"} else ["the Delta table"]
    with zipfile.ZipFile(target / "audit.zip") as archive:
        cards = [name for name in archive.namelist() if name.startswith("cards/")]
        assert cards
        missing += [name for name in ["README.md", *cards] if b"***SIMULATED***" not in archive.read(name)]
    files = [path for path in (target / "client").iterdir() if path.suffix in (".py", ".json")]
    return missing + [path.name for path in files if "SIMULATED" not in path.read_text()]
