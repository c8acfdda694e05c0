"""The control plane's metrics: what the consistency reports found."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from filled_store import NASTY
from server_desk import Ask, asker
from slipway.errors import Unavailable
from slipway.flows.settings_shown import get_settings
from slipway.governance.people import somebody_is_known
from slipway.hosts.figures import NAMES, Figures, TimedLedger
from slipway.hosts.store_figures import StoreFigures
from slipway.ledger import entries
from slipway.ledger.projects import list_projects
from slipway.operations import declare
from slipway.operations.declare import Empty, call
from slipway.operations.people import AddPerson, AddToken, RevokeToken
from slipway.operations.table import operation
from slipway.ports.ledger_store import LedgerStore
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.schedules import Firing
from slipway.server import metrics

START = datetime(2013, 4, 1, tzinfo=UTC)
"""Where the workspace's clock begins."""


def report(number: int, **features: FeatureConsistency) -> ConsistencyReport:
    return ConsistencyReport(
        id=f"flights/flight-delays/{number}",
        project="flights",
        name="flight-delays",
        created_at=datetime(2013, 4, number, tzinfo=UTC),
        parent_id="flights/flight-delays",
        model="flight-delays 1",
        bundle="b" * 64,
        window_until=datetime(2013, 4, number, tzinfo=UTC),
        features=tuple(features.values()),
    )


OWN = tuple(NAMES)


def test_without_a_report_there_are_no_samples_but_of_the_server_itself(workspace: Workspace) -> None:
    answer = asker(workspace)("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [line for line in answer.text.splitlines() if not line.startswith(("#", *OWN))] == []


def test_the_newest_report_of_an_endpoint_is_told_by_feature(ask: Ask, workspace: Workspace) -> None:
    older = report(1, a=FeatureConsistency(feature="hour", compared=5, mismatches=5))
    newer = report(
        2,
        a=FeatureConsistency(feature="hour", compared=90, mismatches=1, missing=2, late=3, smape=0.25),
        b=FeatureConsistency(feature=f'wind "{NASTY}\n', compared=90),
    )
    with workspace.ledger.write() as tx:
        for one in (older, newer):
            entries.put(tx, one, expect=0)
    lines = ask("GET", "/metrics").text.splitlines()
    where = 'project="flights",endpoint="flight-delays"'
    assert f'slipway_consistency_compared{{{where},feature="hour"}} 90' in lines
    assert f'slipway_consistency_defects{{{where},feature="hour",kind="missing"}} 2' in lines
    assert f'slipway_consistency_late{{{where},feature="hour"}} 3' in lines
    assert f'slipway_consistency_smape{{{where},feature="hour"}} 0.25' in lines
    assert f"slipway_consistency_until_seconds{{{where}}} {newer.window_until.timestamp()!r}" in lines
    assert all(line.startswith(("#", "slipway_consistency_", *OWN)) for line in lines), (
        "a feature's name breaks no line"
    )


def test_a_scrape_asks_twice_a_project(ask: Ask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many endpoints, findings and revisions there are: no process is looked at, nothing else is read."""
    asked: list[str] = []
    call = declare.call

    def counted(there: Workspace, wanted: declare.Operation, request: object) -> Any:
        asked.append(wanted.name)
        return call(there, wanted, request)

    monkeypatch.setattr(declare, "call", counted)
    assert ask("GET", "/metrics").status_code == 200
    assert asked[0] == "projects.list"
    assert set(asked[1:]) == {"endpoints.reports", "endpoints.all_health"}
    assert len(asked) == 1 + 2 * len(list_projects(workspace, Empty()).projects)


SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
    r'(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*")*)\})? (?P<value>[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|Inf|NaN))'
)


def parsed(text: str) -> dict[str, dict[str, float]]:
    """The samples of an exposition by figure and labels, or a failure where the format is not kept to the letter.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    found: dict[str, dict[str, float]] = {}
    kinds: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            assert line.split(" ")[2] not in found, f"twice: {line}"
            assert len(line.split(" ", 3)) == 4
            found[line.split(" ")[2]] = {}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert list(found)[-1] == name
            assert kind in ("counter", "gauge", "histogram")
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            family = list(found)[-1]
            ends = ("_bucket", "_sum", "_count") if kinds[family] == "histogram" else ("",)
            assert match["name"] in [family + end for end in ends], line
            key = f"{match['name'].removeprefix(family)}{{{match['labels'] or ''}}}"
            assert key not in found[family], f"twice: {line}"
            found[family][key] = float(match["value"])
    for name, kind in kinds.items():
        if kind == "histogram":
            check_buckets(found[name])
    return found


def check_buckets(samples: dict[str, float]) -> None:
    """Buckets grow to what was counted."""
    for labels, count in samples.items():
        if not labels.startswith("_count"):
            continue
        own = labels.removeprefix("_count{").removesuffix("}")
        start = f"_bucket{{{own}{',' if own else ''}le="
        buckets = [value for name, value in samples.items() if name.startswith(start)]
        assert buckets == sorted(buckets)
        assert buckets[-1] == count
        assert f"_sum{{{own}}}" in samples


def test_what_the_server_tells_of_itself_keeps_the_format(ask: Ask) -> None:
    for path in ("/", "/nothing-here", "/api/v1/projects", "/projects/flights/runs", "/api/v1/projects"):
        ask("GET", path)
    ask("BREW", "/health")
    ask("POST", "/projects", headers={"origin": "https://elsewhere.example"})
    found = parsed(ask("GET", "/metrics").text)
    requests = found["slipway_http_requests_total"]
    assert requests['{route="/api/v1/projects",method="GET",status="200"}'] == 2
    assert requests['{route="(none)",method="GET",status="404"}'] == 1
    assert requests['{route="(none)",method="POST",status="403"}'] == 1
    assert [value for name, value in requests.items() if 'method="other"' in name] == [1]
    assert not [name for name in requests if "flights" in name], "a route as it is declared names nothing"
    assert found["slipway_http_request_seconds"]['_count{route="/api/v1/projects"}'] == 2
    assert found["slipway_disk_free_bytes"]["{}"] > 0
    assert found["slipway_runs_active"]["{}"] >= 0
    assert found["slipway_controller_pass_age_seconds"]["{}"] >= 0


def test_blobs_are_counted_beside_the_answer(workspace: Workspace) -> None:
    workspace.blobs.put(b"1234567")
    store = StoreFigures(workspace)
    store.count_blobs()
    assert ("slipway_blobs_bytes", 7) in [(name, value) for name, _, _, value in store.samples(workspace)]
    (workspace.root / "blobs").rename(workspace.root / "away")
    store.count_blobs()
    assert "slipway_blobs_bytes" not in {name for name, *_ in store.samples(workspace)}


def test_late_schedules_and_the_ledger_are_told(workspace: Workspace) -> None:
    figures = Figures()
    timed = replace(workspace, ledger=TimedLedger(workspace.ledger, figures))
    due = {"project": "flights", "name": "nightly", "created_at": START, "parent_id": "dev/nightly", "state": "due"}
    due |= {"trigger": "cron", "occasion": "o", "pipeline": "release", "snapshot": "s"}
    with timed.ledger.write() as tx:
        for number, minutes in enumerate((-2, 5)):
            one = Firing(id=f"f{number}", due_at=START + timedelta(minutes=minutes), **due)  # type: ignore[arg-type]
            entries.put(tx, one, expect=0)
    assert ("slipway_schedules_late", 1) in [(name, value) for name, _, _, value in StoreFigures(timed).samples(timed)]
    with pytest.raises(Unavailable), timed.ledger.read():
        raise Unavailable("It is away.", fix="Wait.")
    told = {(sample, labels): value for _, sample, labels, value in figures.samples()}
    assert told["slipway_ledger_write_seconds_count", ()] == 1
    assert told["slipway_ledger_read_seconds_count", ()] == 2
    assert told["slipway_ledger_failures_total", (("of", "read"),)] == 1
    assert "SQLite ledger" in [one.value for one in get_settings(timed, Empty()).settings], (
        "whose it is stays to be seen"
    )


def test_an_age_grows_until_a_pass_finishes_without_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("slipway.hosts.figures.time.monotonic", lambda: now[0])
    figures = Figures()

    def age() -> float:
        return next(value for name, _, _, value in figures.samples() if name == "slipway_controller_pass_age_seconds")

    now[0] = 160.0
    figures.passed("failed", 1.0)
    figures.passed("elsewhere", 0.1)
    assert age() == 60.0
    figures.passed("finished", 2.0)
    assert age() == 0.0


def test_who_may_not_see_how_the_store_is_set_up_gets_no_figures_of_the_server(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.server.access._LOOK_EVERY_S", 0.0)
    ask, admin = asker(workspace), replace(workspace, project="")
    with admin.ledger.read() as tx:
        assert not somebody_is_known(tx)
    for name, roles in (("root", ("admin",)), ("eve", ("software engineer",)), ("op", ("platform engineer",))):
        call(admin, operation("people.add"), AddPerson(name=name, roles=roles))
    tokens = {name: call(admin, operation("tokens.add"), AddToken(name=name)).text for name in ("eve", "op")}
    assert ask("GET", "/metrics").status_code == 401
    told = {
        name: ask("GET", "/metrics", headers={"authorization": f"Bearer {token}"}) for name, token in tokens.items()
    }
    assert {answer.status_code for answer in told.values()} == {200}
    assert "slipway_http_requests_total{" in told["op"].text
    assert not [line for line in told["eve"].text.splitlines() if line.startswith(OWN)]


class Away:
    """A ledger that can be away."""

    def __init__(self, store: LedgerStore, figures: Figures) -> None:
        self.store, self.is_away, self.timed = store, False, TimedLedger(self, figures)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def read(self) -> Any:
        if self.is_away:
            raise Unavailable("The ledger cannot be reached.", fix="Start it.")
        return self.store.read()


@pytest.fixture
def away(workspace: Workspace) -> tuple[Away, Ask, Workspace]:
    figures = Figures()
    ledger = Away(workspace.ledger, figures)
    timed = replace(workspace, ledger=ledger.timed, project="")
    return ledger, asker(timed, figures=figures), timed


OF_THE_PROCESS = {
    *("slipway_http_requests_total", "slipway_ledger_failures_total", "slipway_controller_pass_age_seconds"),
    *("slipway_disk_free_bytes", "slipway_build_info"),
}


def test_the_process_tells_its_own_figures_while_the_ledger_is_away(
    away: tuple[Away, Ask, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.server.access._LOOK_EVERY_S", 0.0)
    ledger, ask, _ = away
    ledger.is_away = True
    assert ask("GET", "/metrics").status_code == 503, "whether it knows people was never seen"
    assert ask("GET", "/api/v1/projects").status_code == 503
    ledger.is_away = False
    assert "slipway_runs_active 0" in ask("GET", "/metrics").text
    ledger.is_away = True
    answer = ask("GET", "/metrics")
    assert answer.status_code == 200
    found = parsed(answer.text)
    assert set(found) >= OF_THE_PROCESS
    assert found["slipway_ledger_failures_total"]['{of="read"}'] >= 1
    assert not {"slipway_runs_active", "slipway_schedules_late", "slipway_budget_left"} & set(found)
    assert ask("GET", "/api/v1/projects").status_code == 503


def test_a_ledger_that_was_away_at_the_first_look_opens_nothing(away: tuple[Away, Ask, Workspace]) -> None:
    ledger, ask, admin = away
    call(admin, operation("people.add"), AddPerson(name="root", roles=("admin",)))
    ledger.is_away = True
    assert ask("GET", "/api/v1/projects").status_code == 503
    ledger.is_away = False
    assert ask("GET", "/api/v1/projects").status_code == 401, "also within the second after it"


def test_figures_are_told_to_tokens_that_were_good_a_while_ago(
    away: tuple[Away, Ask, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.server.access._LOOK_EVERY_S", 0.0)
    ledger, ask, admin = away
    for name, roles in (("root", ("admin",)), ("eve", ("software engineer",)), ("op", ("platform engineer",))):
        call(admin, operation("people.add"), AddPerson(name=name, roles=roles))
    made = {
        name: call(admin, operation("tokens.add"), AddToken(name=person))
        for name, person in (("op", "op"), ("new", "op"), ("eve", "eve"), ("gone", "op"))
    }

    def status(name: str, path: str = "/metrics") -> int:
        return ask("GET", path, headers={"authorization": f"Bearer {made[name].text}"}).status_code

    assert {status(name) for name in ("op", "eve", "gone")} == {200}
    call(admin, operation("tokens.revoke"), RevokeToken(id=made["gone"].token.id))
    assert status("gone") == 401
    ledger.is_away = True
    assert status("op") == 200
    assert {status("eve"), status("new"), status("gone"), status("op", "/api/v1/projects")} == {503}
    assert ask("GET", "/metrics").status_code == 401
    monkeypatch.setattr("slipway.server.access._REMEMBERED_S", 0.0)
    assert status("op") == 503, "not for ever"
    monkeypatch.undo()
    assert status("op") == 200
    made_until = made["op"].token.expires_at
    monkeypatch.setattr(type(admin.clock), "now", lambda self: made_until)
    assert status("op") == 503, "nor after its end"


def test_the_page_of_operations_names_every_figure() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert [name for name in (*NAMES, *metrics._GAUGES) if f"`{name}`" not in page] == []
