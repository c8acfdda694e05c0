"""The time machine: what is known comes first, ticks look, faults strike, and two runs of one seed are the same."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from time_machine import START, Clock, Control, Heard, Notebook, action, hour, quiet, source_of

from slipway.errors import InvalidInput, Unavailable
from slipway.features.materialise import Arrival
from slipway.flows.faults import BrokenFeed, Fault, World
from slipway.flows.simulate import Plan, Simulated, simulate
from slipway.operations.rollouts import Reconciled
from slipway.ports.workspace import Workspace


def plan_of(**more: Any) -> Plan:
    return Plan(**{"since": START, "until": hour(12), "done_at": hour(24), **more})


def run(
    workspace: Workspace,
    questions: Sequence[tuple[str, Any]],
    arrivals: Sequence[Arrival] = (),
    labels: Sequence[tuple[Any, dict[str, Any]]] = (),
    *,
    script: Mapping[int, Reconciled] | None = None,
    failing: Sequence[int] = (),
    **more: Any,
) -> tuple[list[tuple[str, Any]], Simulated, Heard]:
    told: list[tuple[str, Any]] = []
    heard = Heard()
    done = simulate(
        Clock(told),
        Notebook(told, failing),
        Control(told, script),
        source_of(questions, arrivals, labels),
        plan_of(**more),
        heard,
        world=World(workspace=workspace, endpoint="e"),
    )
    return told, done, heard


def test_what_is_known_comes_before_the_look_and_that_before_what_is_asked(workspace: Workspace) -> None:
    arrivals = [
        Arrival(hour(1), "flights", {"n": 1}),
        Arrival(hour(6), "weather", {"n": 2}),
        Arrival(hour(6), "flights", {"n": 3}),
        Arrival(hour(13), "flights", {"n": 4}),
        Arrival(hour(25), "flights", {"n": 5}),
    ]
    labels = [(hour(1), {"value": 1.0}), (hour(6), {"value": 2.0}), (hour(20), {"value": 3.0})]
    told, done, heard = run(workspace, [("b", hour(6)), ("a", hour(1)), ("c", hour(6))], arrivals, labels)
    alone = next(what[1][0] for name, what in told if name == "ask" and what[0] == hour(6))
    other = {"b": "c", "c": "b"}[alone]
    assert told == [
        ("flights", [1]),
        ("ask", (hour(1), ["a"])),
        ("view weather", [2]),
        ("flights", [3]),
        ("clock", hour(6)),
        ("labels", [1.0, 2.0]),
        ("settle", None),
        ("reconcile", True),
        ("ask", (hour(6), [alone])),
        ("ask", (hour(6), [other])),
        ("clock", hour(12)),
        ("settle", None),
        ("reconcile", True),
        ("clock", hour(24)),
        ("flights", [4]),
        ("labels", [3.0]),
        ("settle", None),
    ]
    assert done.scores == {"a": 1.0, alone: 2.0, other: 3.0}
    assert (done.requests, done.events, done.labels, done.ticks, done.failures) == (3, 4, 3, 2, 0)
    assert len(done.latencies_ms) == 2
    assert heard.rows == 3


def test_requests_and_deliveries_are_cut_to_size_and_one_row_goes_alone(workspace: Workspace) -> None:
    asked = [(f"q{i}", hour(1)) for i in range(251)]
    told, done, _ = run(workspace, asked, [Arrival(hour(1), "flights", {"n": i}) for i in range(2500)])
    assert [len(what) for name, what in told if name == "flights"] == [1000, 1000, 500]
    assert [len(what[1]) for name, what in told if name == "ask"] == [1, 100, 100, 50]
    assert len(done.scores) == 251


def test_one_row_an_hour_goes_alone_however_many_instants_it_has(workspace: Workspace) -> None:
    told, done, _ = run(workspace, [(f"{i}{j}", hour(i / 4)) for i in range(8) for j in "ab"])
    sizes = [len(what[1]) for name, what in told if name == "ask"]
    assert sizes == [1, 1, 2, 2, 2, 1, 1, 2, 2, 2]
    assert len(done.latencies_ms) == 2


def test_ticks_come_at_even_distances_up_to_the_end(workspace: Workspace) -> None:
    told, done, _ = run(workspace, [("a", hour(1))], tick=timedelta(hours=5))
    assert [what for name, what in told if name == "clock"] == [hour(5), hour(10), hour(12), hour(24)]
    assert done.ticks == 3


def test_actions_are_told_as_they_happen_and_kept_in_order(workspace: Workspace) -> None:
    script = {
        1: quiet(action("retrain", hour(6), 1)),
        2: quiet(action("shadow", hour(12), 2), action("note", hour(12), 3)),
    }
    _, done, heard = run(workspace, [("a", hour(1))], script=script)
    assert heard.actions == [(hour(6), "retrain"), (hour(12), "shadow"), (hour(12), "note")]
    assert [one.number for one in done.actions] == [1, 2, 3]


def test_two_runs_of_one_seed_are_the_same_and_another_seed_is_not(workspace: Workspace) -> None:
    asked = [(f"q{i}", hour(i // 20)) for i in range(200)]
    first, second = (run(workspace, asked, seed=7)[0] for _ in range(2))
    assert first == second
    assert run(workspace, asked, seed=8)[0] != first


def test_a_request_that_fails_is_counted_and_many_in_a_row_end_it(workspace: Workspace) -> None:
    asked = [(f"q{i}", hour(i / 4)) for i in range(40)]
    _, done, _ = run(workspace, asked, failing=range(3, 9))
    assert (done.requests, done.failures, len(done.scores)) == (34, 6, 34)
    with pytest.raises(Unavailable):
        run(workspace, asked, failing=range(3, 100))


class Striking(Fault):
    """Kills the control plane at the first look, and starts it again at the given time."""

    name = "strike"

    def ticked(self, at: Any, done: Any, control: Any, world: Any, injected: Any) -> str:
        if injected.began_at is None:
            control.kill()
            injected.began_at = at
            return "struck"
        return ""

    def passed(self, at: Any, control: Any, injected: Any) -> str:
        if injected.began_at is not None and injected.ended_at is None and at >= hour(30):
            control.start()
            injected.ended_at = at
            return "back"
        return ""

    def asked(self, rows: int, is_answered: bool, injected: Any) -> None:
        if injected.began_at is not None and injected.ended_at is None:
            injected.count("answered")


def test_while_the_control_plane_is_down_nobody_looks_and_the_traffic_goes_on(workspace: Workspace) -> None:
    asked = [(f"q{i}", hour(i)) for i in range(48)]
    labels = [(hour(10), {"value": 1.0})]
    told, done, heard = run(workspace, asked, labels=labels, faults=(Striking(),), until=hour(48), done_at=hour(48))
    assert [what for name, what in told if name == "clock"] == [hour(6 * i) for i in range(1, 9)] + [hour(48)]
    assert (done.ticks, done.requests) == (5, 48)  # at 6, 30, 36, 42 and 48
    assert heard.lines == [(hour(6), "struck"), (hour(30), "back")]
    assert done.injected[0].facts == {"answered": 24}
    names = [name for name, _ in told]
    assert names.index("kill") < names.index("labels") < names.index("start")


def test_what_never_came_back_is_up_again_at_the_end(workspace: Workspace) -> None:
    told, done, _ = run(workspace, [("a", hour(1))], faults=(Striking(),), done_at=hour(31))
    assert done.ticks == 1
    assert told[-2:] == [("start", None), ("settle", None)]


def test_a_row_passes_every_fault_on_its_way(workspace: Workspace) -> None:
    feed = BrokenFeed(view="weather", since=hour(1), until=hour(2), convert={"n": (10.0, 1.0)})
    arrivals = [Arrival(hour(i), "weather", {"n": i}) for i in range(1, 3)]
    told, _, heard = run(workspace, [("a", hour(3))], arrivals, faults=(feed,))
    assert ("view weather", [11.0, 2]) in told
    assert [at for at, _ in heard.lines] == [hour(6), hour(12)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"until": START}, "must end after it begins"),
        ({"until": hour(30)}, "must end after it begins"),
        ({"tick": timedelta()}, "A tick every 0:00:00"),
    ],
)
def test_a_plan_that_cannot_be(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan_of(**more)
