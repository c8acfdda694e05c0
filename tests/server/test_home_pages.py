"""The first page: what serves and whether it is well, what needs whoever asks, and each role's own work first."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from answering import People, people_in
from filled_store import NASTY, fill
from server_desk import asker
from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of
from slipway.flows.health import HEALTH_FILE
from slipway.flows.home import get_home
from slipway.ledger import entries, events, projects
from slipway.operations.home import AskHome, Home
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec, Revision
from slipway.records.health import Counted, HealthState, ServiceSpec
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.rollouts import Rollout

HOME = "/projects/flights"


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


def home(workspace: Workspace, hours: int = 24) -> Home:
    return get_home(workspace, AskHome(hours=hours))


def seen_by(people: People, name: str, path: str = HOME) -> str:
    text = people.do("ada", "tokens.add", name=name).text
    answer = asker(people.workspace)("GET", path, headers={"cookie": f"slipway_session={text}"})
    assert answer.status_code == 200, answer.text
    return answer.text


def page(workspace: Workspace, path: str = HOME) -> str:
    answer = asker(workspace)("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.text


def changed(workspace: Workspace, kind: type[Any], change: Callable[[Any], Any]) -> None:
    with workspace.ledger.write() as tx:
        for one in list(entries.every(tx, kind, project=workspace.project)):
            entries.put(tx, change(one))


def headings(text: str) -> list[str]:
    return [
        part.partition("</h2>")[0].rpartition("</a>")[0].rpartition(">")[2] or part.partition("</h2>")[0]
        for part in text.split("<h2>")[1:]
    ]


@pytest.mark.full
def test_each_role_sees_its_own_work_first(people: People) -> None:
    first = {
        "dan": ["What needs you", "Latest runs", "Models"],
        "mia": ["What needs you", "Endpoints", "Executions"],
        "grace": ["What needs you", "Metric contracts", "Endpoints"],
        "ada": ["What needs you", "Endpoints"],
    }
    for name, wanted in first.items():
        shown = [one for one in headings(seen_by(people, name)) if not one.startswith("Open incidents")]
        assert shown[: len(wanted)] == wanted, name
        assert "Endpoints" in shown, name


@pytest.mark.full
def test_what_a_role_may_not_read_is_not_there(people: People) -> None:
    text = seen_by(people, "sam")
    assert "Latest runs" not in text
    assert "Open incidents" not in text
    assert "Endpoints" in text
    shown = home(people.as_("sam"))
    assert {need.kind for need in shown.needs} == set()
    caller = replace(people.workspace, actor=Actor("shop", roles=("software engineer", "member")))
    told = home(caller)
    assert (len(told.endpoints), told.incidents, told.needs, told.happened) == (1, (), (), ())


def test_only_what_is_theirs_needs_somebody(people: People) -> None:
    changed(people.workspace, Incident, lambda one: msgspec.structs.replace(one, people=("mia",)))
    assert [one.kind for one in home(people.as_("mia")).needs if one.kind == "incident"]
    assert not [one for one in home(people.as_("dan")).needs if one.kind == "incident"]
    changed(people.workspace, Incident, lambda one: msgspec.structs.replace(one, people=(), owner="data scientist"))
    found = [one for one in home(people.as_("dan")).needs if one.kind == "incident"]
    assert found
    assert all(one.place[0] == "incidents" for one in found)


@pytest.mark.full
def test_a_store_that_knows_nobody_shows_everything(workspace: Workspace) -> None:
    fill(workspace)
    found = home(workspace)
    assert found.is_open
    assert {"incident", "contract", "handover", "document"} <= {one.kind for one in found.needs}
    text = page(workspace)
    for need in found.needs:
        assert need.act[0].upper() + need.act[1:] in text


@pytest.mark.full
def test_an_undecided_roll_out_is_for_who_may_decide(people: People) -> None:
    now = people.workspace.clock.now()
    state = {"state": "canary", "ended_at": None, "asked_at": now}
    changed(people.workspace, Rollout, lambda one: msgspec.structs.replace(one, **state))
    assert "rollout" in {one.kind for one in home(people.as_("grace")).needs}
    assert "rollout" not in {one.kind for one in home(people.as_("dan")).needs}


def quiet(workspace: Workspace) -> None:
    """Every incident closed, every question answered: nothing is left to do, but the endpoint is stopped."""
    changed(workspace, Incident, lambda one: msgspec.structs.replace(one, state="closed"))


def test_where_all_is_well_one_green_sentence_says_so(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "projects.add", "project:flights")

    projects.register(workspace)
    text = page(workspace)
    assert '<p class="summary state good">Nothing serves yet, and nothing waits for you.</p>' in text
    assert "What needs you" not in text


def test_an_endpoint_says_why_it_is_not_well(workspace: Workspace) -> None:
    fill(workspace)
    (one,) = home(workspace).endpoints
    assert (one.word, one.incidents > 0) == ("stopped", True)
    quiet(workspace)
    (one,) = home(workspace).endpoints
    assert (one.word, one.sentence) == ("stopped", "It is stopped: nothing answers there.")
    assert home(workspace).endpoints[0].since == one.since


@pytest.mark.full
def test_traffic_is_counted_by_hour_where_somebody_counts(workspace: Workspace) -> None:
    fill(workspace)
    watch = MonitorSpec(name="service", kind="service", service=ServiceSpec())
    changed(workspace, Revision, lambda one: msgspec.structs.replace(one, monitors=(watch,), simulation=False))
    hour = int(datetime.now(UTC).timestamp() // 3600)
    state = HealthState(
        hours={hour: Counted(requests=7), hour - 3: Counted(requests=5), hour - 40: Counted(requests=9)}
    )
    folder = folder_of(workspace, "flight-delays")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEALTH_FILE).write_bytes(msgspec.msgpack.encode(state))
    (one,) = home(workspace).endpoints
    assert len(one.traffic) == 24
    assert sum(one.traffic) in (5, 12)  # the hour may turn between the two
    assert "requests to flight-delays in the last 24 hours, by hour" in page(workspace)


class Counting:
    """A ledger that counts what it is asked for."""

    def __init__(self, ledger: Any) -> None:
        self._ledger, self.finds = ledger, 0

    def read(self) -> Any:
        return _Counted(self._ledger.read(), self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class _Counted:
    def __init__(self, opened: Any, counting: Counting) -> None:
        self._opened, self._counting = opened, counting

    def __enter__(self) -> ReadTransaction:
        tx, counting = self._opened.__enter__(), self._counting

        class Seen:
            def find(self, *given: Any, **more: Any) -> Any:
                counting.finds += 1
                return tx.find(*given, **more)

            def __getattr__(self, name: str) -> Any:
                return getattr(tx, name)

        return Seen()  # type: ignore[return-value]

    def __exit__(self, *given: Any) -> Any:
        return self._opened.__exit__(*given)


def many(workspace: Workspace, count: int) -> None:
    with workspace.ledger.write() as tx:
        one = entries.get(tx, Revision, "flights/flight-delays/1")
        for number in range(count):
            name = f"model-{number:02d}"
            entries.put(tx, msgspec.structs.replace(one, id=f"flights/{name}/1", name=name))
            tx.set_ref("flights", "endpoint", name, f"flights/{name}/1", expect=None)


@pytest.mark.full
def test_fifty_endpoints_ask_the_ledger_no_more_than_one(workspace: Workspace) -> None:
    fill(workspace)
    counts = []
    for added in (0, 49):
        many(workspace, added)
        counting = Counting(workspace.ledger)
        found = home(replace(workspace, ledger=counting))  # type: ignore[arg-type]
        counts.append(counting.finds)
    assert len(found.endpoints) == 50
    assert counts[0] == counts[1]
    text = page(workspace)
    assert "The other endpoints" in text
    assert text.count('<article class="card">') <= 18


def test_what_happened_is_told_once_and_in_words(workspace: Workspace) -> None:
    fill(workspace)
    now = workspace.clock.now()
    with workspace.ledger.write() as tx:
        for _ in range(3):
            events.record(tx, workspace, "runs.start", "run:r1", name=NASTY, pipeline="release")
        events.record(
            tx, workspace, "endpoints.deploy", "revision:flights/flight-delays/2", model="m", version=2, reason=NASTY
        )
        events.record(tx, workspace, "endpoints.watch", "revision:flights/flight-delays/2")
        old = replace(workspace, clock=type(workspace.clock)(now - timedelta(days=3)))
        events.record(tx, old, "endpoints.stop", "revision:flights/flight-delays/1")
    lines = [(one.sentence, one.times) for one in home(workspace).happened]
    assert (f"started the run {NASTY}", 3) in lines
    assert (f"let m 2 serve at flight-delays: {NASTY}", 1) in lines
    assert not [line for line, _ in lines if "watch" in line or "stopped" in line]
    assert [
        line
        for line, _ in [(one.sentence, 0) for one in home(workspace, 100).happened]
        if "stopped flight-delays" in line
    ]
    text = page(workspace)
    assert NASTY not in text
    assert "3 times" in text


@pytest.mark.parametrize("hours", [0, -1, 100_000])
def test_hours_that_are_none_are_refused(workspace: Workspace, hours: int) -> None:
    with pytest.raises(InvalidInput, match="hours back"):
        home(workspace, hours)


@pytest.mark.full
def test_several_projects_are_told_shortly(people: People) -> None:
    people.do("ada", "projects.add", name="ships")
    text = seen_by(people, "ada", "/")
    assert ">ships</a></h1>" in text
    assert "Latest runs" not in text
    assert "Latest runs" in seen_by(people, "ada")


@pytest.mark.full
def test_an_unknown_word_of_the_query_changes_nothing(workspace: Workspace) -> None:
    fill(workspace)
    assert asker(workspace)("GET", "/?nix=1&hours=many").status_code == 200
