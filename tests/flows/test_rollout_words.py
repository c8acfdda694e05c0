"""What persons decide about a roll-out: each a revision of its own, tried dry first, and never against the evidence."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk
from test_rollouts import PHASES, at, carried, look, move, prepared

import slipway as sw
from slipway.errors import Conflict, InvalidDeclaration, InvalidInput
from slipway.flows import rollout_words
from slipway.flows.deploy import deploy, rollback
from slipway.flows.drill import drill
from slipway.flows.endpoints import revision_of
from slipway.flows.revision_changes import MARKS
from slipway.ledger import entries
from slipway.loop.by_hand import advance
from slipway.operations.endpoints import Deploy, Rollback, StartDrill
from slipway.operations.rollouts import Abort, Advance, GetRollout, Pause, Resume
from slipway.records.endpoints import Revision
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.rollouts import RevisionChange
from slipway.serving.swap import REVISION_FILE, read_revision


@pytest.fixture
def rolling(desk: Desk) -> Desk:
    """A roll-out in shadow, in front of endpoints that are files only."""
    still = prepared(desk.without_processes())
    still.deploy(BETTER)
    return still


def number(desk: Desk) -> int:
    return revision_of(desk.workspace, NAME).number


def open_incidents(desk: Desk) -> list[Incident]:
    parent = f"{desk.workspace.project}/{NAME}"
    with desk.workspace.ledger.read() as tx:
        return list(entries.find(tx, Incident, parent=parent, state="open", limit=10))


def shares(change: RevisionChange | None) -> list[tuple[int, float]]:
    assert change is not None
    return [(one.served.number, one.fraction) for one in change.after]


@contextmanager
def nothing_changes(desk: Desk) -> Iterator[None]:
    before = (revision_of(desk.workspace, NAME), at(desk), len(desk.events()))
    yield
    assert (revision_of(desk.workspace, NAME), at(desk), len(desk.events())) == before
    assert read_revision(desk.folder / REVISION_FILE, desk.workspace.signer) == before[0]


def test_a_paused_roll_out_takes_no_step_and_runs_out_of_no_time(rolling: Desk) -> None:
    move(rolling, "not worse")
    with nothing_changes(rolling):
        dry = rollout_words.pause(rolling.workspace, Pause(endpoint=NAME, dry_run=True))
    assert dry.is_dry
    assert shares(dry.change) == [(FIRST, 0.9), (BETTER, 0.1)]
    former = number(rolling)
    done = rollout_words.pause(rolling.workspace, Pause(endpoint=NAME, reason="a fair"))
    assert done.change == dry.change, "what was said dry is what was done"
    assert number(rolling) == former + 1
    assert revision_of(rolling.workspace, NAME).reason == "pause of small-delays 2: a fair"
    assert carried(rolling) == (FIRST, BETTER, 0.1)
    assert move(rolling, "not worse").step == 0
    assert move(rolling, "undecided", after=timedelta(days=30)).is_under_way
    assert not open_incidents(rolling)
    assert [one.verdict for one in at(rolling).looks][-2:] == ["not worse", "undecided"], "looks go on"
    with pytest.raises(Conflict, match=r"paused already, since .*a fair"):
        rollout_words.pause(rolling.workspace, Pause(endpoint=NAME))
    on = rollout_words.resume(rolling.workspace, Resume(endpoint=NAME)).rollout
    assert on.due_at is not None
    assert on.due_at - rolling.clock.now() == timedelta(days=2), "what was left is left again"
    assert move(rolling, "not worse").step == 1
    assert at(rolling).more_us == 0, "each step has its declared time"
    assert [word.what for word in at(rolling).words] == ["pause", "resume"]


def test_worse_stops_a_paused_one(rolling: Desk) -> None:
    rollout_words.pause(rolling.workspace, Pause(endpoint=NAME))
    assert move(rolling, "worse").state == "stopped"
    assert carried(rolling) == (FIRST, 0, 0)


def test_a_deadline_asks_once_and_without_an_answer_the_champion_goes_on(rolling: Desk) -> None:
    asked = move(rolling, "undecided", after=timedelta(days=400))
    assert asked.is_under_way, "a clock that jumps takes nobody by surprise"
    assert carried(rolling) == (FIRST, BETTER, 0.0)
    (incident,) = open_incidents(rolling)
    assert incident.owner == "business owner"
    for part in ("It is undecided.", "rollout advance small-delays", "rollout abort small-delays", "--more 7d"):
        assert part in incident.sentence
    assert move(rolling, "undecided", after=timedelta(days=6, microseconds=-1)).is_under_way
    assert len(open_incidents(rolling)) == 1
    done = move(rolling, "undecided", after=timedelta(microseconds=1))
    assert done.state == "undecided"
    assert done.reason.startswith("The deadline came first, and nobody who was asked on ")
    assert carried(rolling) == (FIRST, 0, 0)
    assert not open_incidents(rolling)


def test_more_time_answers_the_question(rolling: Desk) -> None:
    move(rolling, "undecided", after=timedelta(days=6))
    on = rollout_words.resume(rolling.workspace, Resume(endpoint=NAME, more="3d", reason="a holiday")).rollout
    assert on.due_at == rolling.clock.now() + timedelta(days=3)
    assert not open_incidents(rolling)
    assert move(rolling, "undecided", after=timedelta(days=3, microseconds=-1)).asked_at is None
    assert move(rolling, "undecided", after=timedelta(microseconds=1)).asked_at is not None
    with pytest.raises(InvalidDeclaration, match="soon"):
        rollout_words.resume(rolling.workspace, Resume(endpoint=NAME, more="soon"))


def test_a_person_advances_one_step_with_a_reason(rolling: Desk) -> None:
    with pytest.raises(InvalidInput, match="No reason was given"):
        advance(rolling.workspace, Advance(endpoint=NAME, reason=" "))
    for share in (0.1, 0.5):
        with nothing_changes(rolling):
            dry = advance(rolling.workspace, Advance(endpoint=NAME, reason="seen", dry_run=True))
        assert shares(dry.change) == [(FIRST, 1 - share), (BETTER, share)]
        advance(rolling.workspace, Advance(endpoint=NAME, reason="seen"))
        assert carried(rolling) == (FIRST, BETTER, share)
    last = advance(rolling.workspace, Advance(endpoint=NAME, reason="seen")).rollout
    assert (last.state, rolling.champion()) == ("promoted", BETTER)
    assert carried(rolling) == (BETTER, FIRST, 0.0), "the way back stays warm"
    told = [event.body["reason"] for event in rolling.events() if event.verb == "rollouts.advance"]
    assert told[0] == "canary of small-delays 2 at 10 %: seen"


@pytest.mark.parametrize("steps", [0, 2])
def test_a_step_by_hand_ends_a_pause_and_says_so(rolling: Desk, steps: int) -> None:
    for _ in range(steps):
        move(rolling, "not worse")
    rollout_words.pause(rolling.workspace, Pause(endpoint=NAME, reason="a fair"))
    with nothing_changes(rolling):
        dry = advance(rolling.workspace, Advance(endpoint=NAME, reason="seen", dry_run=True))
    assert dry.change is not None
    assert f"Its pause since {rolling.clock.now():%Y-%m-%d %H:%M} UTC ends with it." in dry.change.told
    done = advance(rolling.workspace, Advance(endpoint=NAME, reason="seen"))
    assert done.change == dry.change
    assert done.rollout.paused_at is None or not done.rollout.is_under_way
    assert not any("pause" in line for line in told_of_another(rolling))


def told_of_another(desk: Desk) -> tuple[str, ...]:
    """What a further step would say, () where there is none."""
    if not at(desk).is_under_way:
        return ()
    change = advance(desk.workspace, Advance(endpoint=NAME, reason="seen", dry_run=True)).change
    assert change is not None
    return change.told


def test_nobody_advances_what_is_worse(rolling: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.loop.reconcile._look", lambda *_, **__: look(rolling, "worse"))
    with nothing_changes(rolling), pytest.raises(Conflict, match=r"is worse .*does not go on.*rollout abort"):
        advance(rolling.workspace, Advance(endpoint=NAME, reason="I want it"))


def test_who_comes_second_is_told_of_who_was_quicker(rolling: Desk) -> None:
    seen = number(rolling)
    eve = dataclasses.replace(rolling.workspace, actor=Actor("eve", roles=("admin",)))
    rollout_words.pause(eve, Pause(endpoint=NAME, expect=seen))
    quicker = rf"eve.* published revision {seen + 1} of 'small-delays' meanwhile \(pause of .*: small-delays 1 serves"
    for act in (
        lambda: rollout_words.abort(rolling.workspace, Abort(endpoint=NAME, expect=seen)),
        lambda: deploy(rolling.workspace, Deploy(model=NAME, version="3", at_once=True, expect=seen)),
        lambda: rollback(rolling.workspace, Rollback(name=NAME, expect=seen)),
    ):
        with nothing_changes(rolling), pytest.raises(Conflict, match=quicker):
            act()


def test_a_dry_deployment_says_what_would_change(rolling: Desk) -> None:
    with nothing_changes(rolling):
        during = rolling.deploy(GUESSING, dry_run=True).change
    assert during is not None
    assert "small-delays 2 is being rolled out" in during.obstacle
    rollout_words.abort(rolling.workspace, Abort(endpoint=NAME))
    with nothing_changes(rolling):
        begins = rolling.deploy(GUESSING, dry_run=True).change
        again = rolling.deploy(FIRST, dry_run=True).change
        at_once = rolling.deploy(GUESSING, dry_run=True, at_once=True).change
    assert shares(begins) == [(FIRST, 1.0), (GUESSING, 0.0)]
    assert shares(at_once) == [(GUESSING, 1.0)]
    assert again is not None
    assert "small-delays 1 serves already, as revision 3" in again.told[0]


def test_going_back_is_a_new_revision_equal_to_the_old_one(rolling: Desk) -> None:
    with rolling.workspace.ledger.read() as tx:
        (first,) = entries.find(tx, Revision, project=rolling.workspace.project, name=NAME, number=1, limit=1)
    with nothing_changes(rolling):
        dry = rollback(rolling.workspace, Rollback(name=NAME, to=1, dry_run=True))
    assert shares(dry.change) == [(FIRST, 1.0)]
    done = rollback(rolling.workspace, Rollback(name=NAME, to=1, reason="complaints"))
    assert done.revision is not None
    assert done.change == dry.change
    for name in set(Revision.__struct_fields__) - MARKS:
        assert getattr(done.revision, name) == getattr(first, name), name
    assert (done.revision.number, done.revision.reason) == (3, "rollback to 1: complaints")
    ended = at(rolling)
    assert (ended.state, ended.words[-1].what) == ("stopped", "rollback")
    assert "went back to revision 1: complaints" in ended.reason


def test_who_decides_is_shown(rolling: Desk) -> None:
    shown = rollout_words.get_rollout(rolling.workspace, GetRollout(endpoint=NAME))
    assert shown.rollout.due_at == rolling.clock.now() + timedelta(days=6)
    assert shown.change is None


def test_a_drill_needs_a_way_back_and_something_that_runs(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(rollout=PHASES, gate=sw.Gate(sw.metric("auc") >= 0.3))
    still.deploy(FIRST)
    with pytest.raises(Conflict, match="nothing to go back to"):
        drill(still.workspace, StartDrill(name=NAME))
    still.deploy(BETTER)
    with pytest.raises(Conflict, match=r"is stopped.*slipway deploy small-delays"):
        drill(desk.without_processes().workspace, StartDrill(name=NAME, to=1))


@pytest.mark.full
def test_a_drill_beside_the_traffic_and_under_it(desk: Desk) -> None:
    desk.declare(rollout=(), gate=sw.Gate(sw.metric("auc") >= 0.3))
    desk.deploy(FIRST)
    served = desk.deploy(BETTER)
    former = revision_of(desk.workspace, NAME)
    found = drill(desk.workspace, StartDrill(name=NAME, reason="friday")).drill
    assert (found.state, found.back_to, found.live) == ("passed", 1, False), found.sentence
    assert revision_of(desk.workspace, NAME) == former
    assert desk.ask(served)["version"] == BETTER
    bundle = desk.version(FIRST)
    desk.workspace.blobs.delete(bundle.manifest)
    with pytest.raises(Conflict, match="is gone: there is no way back to it"):
        drill(desk.workspace, StartDrill(name=NAME))
