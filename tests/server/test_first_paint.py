"""What takes long follows a page: the page is there without it, its stream brings it, and nobody needs a script to see it."""

import re
from html import unescape
from typing import Any

import msgspec
import pytest

from filled_store import fill
from server_desk import Ask, asker
from slipway.flows.endpoints import folder_of
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import OldSystemSpec, Revision
from slipway.records.predictions import FailureRow
from slipway.records.tables import SIMULATED, TableVersion
from slipway.server import api
from slipway.tables.segments import SegmentWriter
from watched_store import NAME, at, watch_over

ENDPOINT = f"/projects/flights/endpoints/{NAME}"
PAGES = {
    ENDPOINT: ({"endpoints.traffic"}, {"traffic"}),
    f"{ENDPOINT}?days=3&quality=1": ({"endpoints.traffic", "endpoints.quality"}, {"traffic", "quality"}),
    f"{ENDPOINT}/monitoring?period=7d": ({"endpoints.drift_map", "endpoints.quality"}, {"drift", "quality"}),
    "/portfolio": ({"portfolio.get"}, {"portfolio"}),
    "/projects/flights/audit?act=models": ({"audit.verify"}, {"seals"}),
}
"""Pages with what is asked later, and the parts where it will stand."""
BROWSER = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
STREAM = {"accept": "text/event-stream"}
EVENT = re.compile(r"^event: (.*)\n(?:id: .*\n)?data: (.*)$", re.MULTILINE)
PART = re.compile(r"<!--live:([a-z-]+)-->(.*?)<!--/live:\1-->", re.DOTALL)


@pytest.fixture
def watched(workspace: Workspace) -> Workspace:
    watch_over(workspace, at(workspace))
    return workspace


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that pages ask, in their order."""
    names: list[str] = []
    perform = api.perform

    def noted(workspace: Workspace, operation: Any, request: object) -> Any:
        names.append(operation.name)
        return perform(workspace, operation, request)

    monkeypatch.setattr(api, "perform", noted)
    return names


def busy(text: str) -> set[str]:
    return set(re.findall(r'id="live-([a-z-]+)" aria-busy="true"', text))


def sources(text: str) -> list[str]:
    return re.findall(r"<li><a href=\"[^\"]*\"><code>(/api/[^<]*)</code>", text)


@pytest.mark.parametrize("path", PAGES)
def test_a_browser_sees_the_page_before_what_is_slow_is_asked(watched: Workspace, asked: list[str], path: str) -> None:
    slow, parts = PAGES[path]
    ask = asker(watched)
    first = ask("GET", path, headers=BROWSER).text
    assert not slow & set(asked)
    assert busy(first) == parts
    shown = dict(PART.findall(first))
    assert all('role="status"' in shown[name] for name in parts)
    whole = unescape(re.findall(r'data-whole="([^"]*)"', first)[0])
    assert whole.endswith("whole=1")
    assert set(path.partition("?")[2].split("&")) - {""} <= set(whole[1:].split("&")), "as it was asked for"
    assert f'<noscript><meta http-equiv="refresh" content="0; url={whole}"></noscript>' in unescape(first)
    assert unescape(first).count(f'<a href="{whole}">Show the page when all of it is there</a>') == len(parts)
    all_of_it = ask("GET", path.partition("?")[0] + whole, headers=BROWSER).text
    assert slow <= set(asked)
    assert (busy(all_of_it), "refresh" in all_of_it, "data-whole" in all_of_it) == (set(), False, False)
    assert "Show the page when all of it is there" not in all_of_it
    assert sources(first) == sources(all_of_it) != []


@pytest.mark.parametrize("path", PAGES)
def test_the_stream_brings_what_the_whole_page_shows(watched: Workspace, asked: list[str], path: str) -> None:
    ask = asker(watched)
    first = ask("GET", path, headers=BROWSER).text
    seen = re.findall(r'data-live="([0-9a-f]{16})"', first)[0]
    mark = "&" if "?" in path else "?"
    streamed = EVENT.findall(ask("GET", f"{path}{mark}live={seen}", headers=STREAM).text)
    assert [kind for kind, _ in streamed] == ["part"] * (len(streamed) - 1) + ["still"]
    told = [msgspec.json.decode(data) for _, data in streamed[:-1]]
    whole = dict(PART.findall(ask("GET", f"{path}{mark}whole=1").text))
    assert {one["name"]: one["html"] for one in told} == whole
    assert whole.keys() >= busy(first)
    assert all(f'id="live-{name}"' in first for name in whole), "each has its place"
    for name in busy(first):
        assert whole[name] != dict(PART.findall(first))[name]


def test_who_is_no_browser_gets_all_of_it_at_once(watched: Workspace, asked: list[str]) -> None:
    text = asker(watched)("GET", ENDPOINT, headers={"accept": "*/*"}).text
    assert "endpoints.traffic" in asked
    assert (busy(text), "refresh" in text) == (set(), False)


def test_other_pages_wait_for_nothing(watched: Workspace) -> None:
    for path in ("/", "/projects/flights", "/projects/flights/runs", "/projects/flights/costs"):
        text = asker(watched)("GET", path, headers=BROWSER).text
        assert ("aria-busy" in text, "data-whole" in text) == (False, False), path


def test_a_comparison_with_the_old_system_follows_too(watched: Workspace, asked: list[str]) -> None:
    with watched.ledger.write() as tx:
        revision = entries.get(tx, Revision, f"flights/{NAME}/1")
        entries.put(tx, msgspec.structs.replace(revision, old_system=OldSystemSpec(url="http://127.0.0.1:9/score")))
    text = asker(watched)("GET", ENDPOINT, headers=BROWSER).text
    assert busy(text) == {"traffic", "agreement"}
    assert "endpoints.agreement" not in asked


def test_made_up_rows_are_told_of_when_the_portfolio_has_come(workspace: Workspace) -> None:
    fill(workspace)
    with workspace.ledger.write() as tx:
        for version in entries.every(tx, TableVersion, project="flights"):
            about = msgspec.structs.replace(version.about, origin=SIMULATED)
            entries.put(tx, msgspec.structs.replace(version, about=about))
    ask = asker(workspace)
    first = ask("GET", "/portfolio", headers=BROWSER).text
    assert 'id="live-made-up"' in first
    told = [
        msgspec.json.decode(data) for kind, data in EVENT.findall(ask("GET", "/portfolio", headers=STREAM).text)[:-1]
    ]
    assert "are made up" in {one["name"]: one["html"] for one in told}["made-up"]


def test_what_cannot_be_read_is_said_by_the_whole_page(watched: Workspace) -> None:
    ask: Ask = asker(watched)
    log = folder_of(watched, NAME) / "log"
    writer = SegmentWriter(log, "failures")
    for count in (1, 2):
        writer.append([FailureRow(0, 0, 1, "champion", "ab" * 8, count, "predict")])
    writer.close()
    (segment,) = log.glob("failures-*.seg")
    segment.write_bytes(segment.read_bytes().replace(b"predict", b"guessed", 1))
    assert ask("GET", ENDPOINT, headers=BROWSER).status_code == 200
    assert ask("GET", ENDPOINT, headers=STREAM).text == "event: gone\ndata: {}\n\n"
    refused = ask("GET", f"{ENDPOINT}?whole=1", headers=BROWSER)
    assert refused.status_code >= 500, "in words"
    assert "its check sum does not hold" in refused.text
