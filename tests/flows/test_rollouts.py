"""Roll-outs: each state in the ledger is what the endpoint does, and whatever ends one, somebody sound serves."""

import dataclasses
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import BackendError, Conflict, InvalidInput, NotFound
from slipway.flows import rollout_words, rollouts
from slipway.flows.endpoints import revision_of
from slipway.flows.judging import declared_endpoint
from slipway.ledger import entries, lineage
from slipway.models import registry
from slipway.models.manifest import encode_manifest
from slipway.operations.rollouts import Abort, GetRollout, ListRollouts
from slipway.ports.signer import Signer
from slipway.records.endpoints import Revision, Served
from slipway.records.rollouts import Look, Phase, Rollout, RolloutVerdict
from slipway.serving.swap import REVISION_FILE, publish, read_revision

PHASES = [sw.Shadow(deadline="6d"), sw.Canary(steps=(10, 50, 100), deadline="2d")]


@pytest.fixture
def rolling(desk: Desk) -> Desk:
    """The first version serves without a process, and a roll-out is declared."""
    still = desk.without_processes()
    return prepared(still)


def prepared(desk: Desk, phases: Sequence[Any] = PHASES) -> Desk:
    desk.declare(rollout=phases, gate=sw.Gate(sw.metric("auc") >= 0.3))
    desk.deploy(FIRST)
    return desk


def look(desk: Desk, verdict: RolloutVerdict, *, phase: Phase = "shadow", step: int = 0, words: str = "") -> Look:
    at = desk.clock.now()
    return Look(at=at, phase=phase, step=step, verdict=verdict, sentence=words or f"It is {verdict}.")


def move(desk: Desk, verdict: RolloutVerdict, *, after: timedelta = timedelta(hours=1)) -> Rollout:
    """A look some time later with a verdict, in the phase in which the roll-out is."""
    desk.clock.advance_to(desk.clock.now() + after)
    present = at(desk)
    phase: Phase = "shadow" if present.state == "shadow" else "canary"
    return rollouts.advance(desk.workspace, present, look(desk, verdict, phase=phase, step=present.step))


def at(desk: Desk) -> Rollout:
    """The newest roll-out as it is kept."""
    found = rollouts.newest(desk.workspace, NAME)
    assert found is not None
    return found


def carried(desk: Desk) -> tuple[int, int, float]:
    """By the newest revision, which is also in the folder: who serves, who challenges, and with which share."""
    newest = revision_of(desk.workspace, NAME)
    assert read_revision(desk.folder / REVISION_FILE, desk.workspace.signer) == newest
    challenger = newest.challenger
    return newest.served.number, challenger.served.number if challenger else 0, challenger.fraction if challenger else 0


def test_a_deployment_begins_the_declared_roll_out(rolling: Desk) -> None:
    answer = rolling.deploy(BETTER)
    assert answer.revision is not None
    assert carried(rolling) == (FIRST, BETTER, 0.0)
    rollout = at(rolling)
    assert (rollout.state, rollout.champion.number, rollout.challenger.number) == ("shadow", FIRST, BETTER)
    assert (rollout.verdict_id, rollout.since) == (answer.verdict.id, rolling.clock.now())
    assert answer.revision.verdict_id != rollout.verdict_id, "what serves still serves by its own verdict"
    assert rolling.champion() == FIRST
    with rolling.workspace.ledger.read() as tx:
        ways = {(one.source, one.target) for one in lineage.trace(tx, f"revision:{answer.revision.id}")}
    assert (f"rollout:{rollout.id}", f"revision:{answer.revision.id}") in ways


def test_from_shadow_to_all_traffic(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    begun = rolling.clock.now()
    assert move(rolling, "undecided").state == "shadow"
    assert at(rolling).since == begun
    assert move(rolling, "not worse").state == "canary"
    assert carried(rolling) == (FIRST, BETTER, 0.1)
    assert at(rolling).since == rolling.clock.now(), "each step has its own deadline"
    assert move(rolling, "undecided").step == 0
    assert move(rolling, "not worse").step == 1
    assert carried(rolling) == (FIRST, BETTER, 0.5)
    assert rolling.champion() == FIRST
    ended = move(rolling, "not worse")
    assert (ended.state, ended.ended_at, ended.reason) == ("promoted", rolling.clock.now(), "It is not worse.")
    assert carried(rolling) == (BETTER, FIRST, 0.0), "the way back stays warm for the label delay"
    assert rolling.champion() == BETTER
    newest = revision_of(rolling.workspace, NAME)
    assert newest.verdict_id == ended.verdict_id, "it serves by its own verdict now"
    assert [one.verdict for one in ended.looks] == ["undecided", "not worse", "undecided", "not worse", "not worse"]
    assert rollouts.under_way(rolling.workspace, NAME) is None
    reasons = [event.body["reason"] for event in rolling.events() if event.verb == "endpoints.deploy"]
    assert reasons[1:] == [
        "shadow of small-delays 2",
        "canary of small-delays 2 at 10 %",
        "canary of small-delays 2 at 50 %",
    ]


@pytest.mark.parametrize("moves", [[], ["not worse"], ["not worse", "not worse"]])
def test_what_is_worse_is_stopped_in_any_phase(rolling: Desk, moves: list[RolloutVerdict]) -> None:
    rolling.deploy(BETTER)
    for one in moves:
        move(rolling, one)
    ended = move(rolling, "worse")
    assert (ended.state, ended.reason) == ("stopped", "It is worse.")
    assert carried(rolling) == (FIRST, 0, 0)
    assert rolling.champion() == FIRST


def test_at_the_deadline_of_its_phase_what_is_undecided_ends(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    assert move(rolling, "undecided", after=timedelta(days=6, microseconds=-1)).is_under_way
    move(rolling, "not worse", after=timedelta(0))
    assert move(rolling, "undecided", after=timedelta(days=2, microseconds=-1)).is_under_way
    move(rolling, "not worse", after=timedelta(0))
    asked = move(rolling, "undecided", after=timedelta(days=2))
    assert (asked.state, asked.asked_at) == ("canary", rolling.clock.now())
    ended = move(rolling, "undecided", after=timedelta(days=2))
    assert ended.state == "undecided"
    assert carried(rolling) == (FIRST, 0, 0)


def test_a_verdict_at_the_deadline_counts(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    assert move(rolling, "not worse", after=timedelta(days=30)).state == "canary"


@pytest.mark.parametrize(
    ("phases", "states"),
    [
        ([sw.Shadow()], ["shadow", "promoted"]),
        ([sw.Canary(steps=(100,))], ["canary", "promoted"]),
        ([sw.Canary(steps=(5, 100))], ["canary", "promoted"]),
        ([sw.Shadow(), sw.Canary(steps=(100,))], ["shadow", "promoted"]),
    ],
)
def test_a_phase_that_is_not_declared_is_left_out(desk: Desk, phases: list[Any], states: list[str]) -> None:
    still = prepared(desk.without_processes(), phases)
    still.deploy(BETTER)
    found = [at(still).state]
    while at(still).is_under_way:
        found.append(move(still, "not worse").state)
    assert found == states
    assert carried(still) == (BETTER, FIRST, 0.0), "the way back stays warm"


def test_of_a_days_undecided_looks_the_last_is_kept(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    for _ in range(30):
        move(rolling, "undecided")
    assert [one.at.day for one in at(rolling).looks] == [1, 2]
    assert at(rolling).looks[-1].at == rolling.clock.now()


def test_nothing_is_rolled_out_where_nothing_can_be_compared(rolling: Desk) -> None:
    rolling.deploy(FIRST)
    assert rollouts.newest(rolling.workspace, NAME) is None, "the same bundle again"
    rolling.declare(rollout=PHASES, gate=sw.Gate(sw.metric("auc") >= 0.3), key=["flight_id", "origin"])
    before = revision_of(rolling.workspace, NAME)
    with pytest.raises(Conflict, match="its requests are others than those of what serves") as refused:
        rolling.deploy(BETTER)
    assert "--at-once" in refused.value.fix
    assert revision_of(rolling.workspace, NAME) == before, "nobody is served by what was never compared"
    told = rolling.deploy(BETTER, dry_run=True).change
    assert told is not None
    assert "its requests are others" in told.obstacle
    rolling.deploy(BETTER, at_once=True)
    assert rollouts.newest(rolling.workspace, NAME) is None
    assert carried(rolling) == (BETTER, 0, 0)


def test_what_another_environment_let_through_is_no_champion(rolling: Desk) -> None:
    there = dataclasses.replace(rolling.workspace, environment="prod")
    production = Desk(dataclasses.replace(rolling.project, workspace=there), rolling.clock)
    production.declare(rollout=PHASES, gate=sw.Gate(sw.metric("auc") >= 0.3))
    production.deploy(BETTER)
    newest = revision_of(rolling.workspace, NAME)
    assert (newest.environment, newest.served.number, newest.challenger) == ("prod", BETTER, None), (
        "dev's champion never passed prod's gate"
    )


def test_a_shadow_that_asks_for_probabilities_is_refused_for_a_regression(rolling: Desk) -> None:
    version = rolling.version(BETTER)
    other = msgspec.structs.replace(registry.bundle_of(rolling.workspace, version), task="regression")
    manifest = rolling.workspace.blobs.put(encode_manifest(other))
    regression = msgspec.structs.replace(version, id=f"m-{'9' * 32}", number=9, manifest=manifest)
    with rolling.workspace.ledger.write() as tx:
        entries.put(tx, regression)
    served = Served(model=NAME, number=9, bundle=version.bundle)
    draft = msgspec.structs.replace(revision_of(rolling.workspace, NAME), served=served)
    with pytest.raises(InvalidInput, match=r"small-delays 9 is a regression.*sw.Canary\(\)"):
        rollouts.begin(rolling.workspace, declared_endpoint(rolling.workspace, NAME), draft)
    assert rollouts.newest(rolling.workspace, NAME) is None


def test_one_roll_out_at_a_time(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    for number in (GUESSING, FIRST, BETTER):
        with pytest.raises(Conflict, match=r"small-delays 2 is being rolled out .*slipway rollout abort small-delays"):
            rolling.deploy(number)
    assert carried(rolling) == (FIRST, BETTER, 0.0)


@pytest.mark.parametrize("moves", [[], ["not worse"]])
def test_at_once_replaces_everything_and_the_next_deployment_is_free(
    rolling: Desk, moves: list[RolloutVerdict]
) -> None:
    rolling.deploy(BETTER)
    for one in moves:
        move(rolling, one)
    rolling.deploy(GUESSING, at_once=True)
    assert carried(rolling) == (GUESSING, 0, 0)
    assert rolling.champion() == GUESSING
    rolling.deploy(BETTER)
    first, second = every(rolling)
    assert (first.state, first.reason) == (
        "superseded",
        f"Revision {3 + len(moves)} was published meanwhile (deploy).",
    )
    assert (second.state, second.champion.number) == ("shadow", GUESSING)


def every(desk: Desk) -> list[Rollout]:
    return list(rollout_words.list_rollouts(desk.workspace, ListRollouts(endpoint=NAME)).rollouts)[::-1]


def test_a_person_ends_one(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    move(rolling, "not worse")
    ended = rollout_words.abort(rolling.workspace, Abort(endpoint=NAME, reason="complaints")).rollout
    assert (ended.state, ended.reason) == ("stopped", f"{rolling.workspace.actor} ended it: complaints")
    assert carried(rolling) == (FIRST, 0, 0)
    assert "rollouts.abort" in [event.verb for event in rolling.events()]
    with pytest.raises(Conflict, match=r"No roll-out is under way at 'small-delays'.*endpoints show"):
        rollout_words.abort(rolling.workspace, Abort(endpoint=NAME))
    with pytest.raises(NotFound):
        rollout_words.abort(rolling.workspace, Abort(endpoint="nobody"))
    rolling.deploy(GUESSING)
    assert carried(rolling) == (FIRST, GUESSING, 0.0)


def test_an_abort_brings_nothing_back_that_was_replaced_meanwhile(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    rolling.deploy(GUESSING, at_once=True)
    with pytest.raises(Conflict, match="No roll-out is under way"):
        rollout_words.abort(rolling.workspace, Abort(endpoint=NAME))
    assert carried(rolling) == (GUESSING, 0, 0)


def test_going_back_during_a_roll_out_ends_it(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    rolling.rollback()
    assert carried(rolling) == (FIRST, 0, 0)
    rolling.deploy(BETTER)
    assert [one.state for one in every(rolling)] == ["stopped", "shadow"]


@pytest.mark.parametrize("steps", [1, 2])
def test_going_back_in_a_canary_is_to_what_served_alone(rolling: Desk, steps: int) -> None:
    rolling.deploy(BETTER)
    for _ in range(steps):
        move(rolling, "not worse")
    rolling.rollback()
    assert carried(rolling) == (FIRST, 0, 0)


def test_going_back_after_a_promotion_is_to_the_former_model(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    for _ in range(3):
        move(rolling, "not worse")
    assert carried(rolling) == (BETTER, FIRST, 0.0)
    rolling.rollback()
    assert carried(rolling) == (FIRST, 0, 0)
    assert rolling.champion() == FIRST
    rolling.rollback()
    assert carried(rolling) == (BETTER, 0, 0), "and forth again"


def test_what_is_declared_anew_holds_from_the_beginning_of_the_roll_out_and_after_it(rolling: Desk) -> None:
    rolling.declare(rollout=PHASES, gate=sw.Gate(sw.metric("auc") >= 0.3), monitors=[sw.Drift()], workers=2)
    rolling.deploy(BETTER)
    for _ in range(3):
        move(rolling, "not worse")
    newest = revision_of(rolling.workspace, NAME)
    assert ([one.name for one in newest.monitors], newest.workers) == (["drift"], 2)


def test_roll_outs_are_found_by_endpoint_and_id(rolling: Desk) -> None:
    with pytest.raises(NotFound, match=r"has no roll-out.*gets another model"):
        rollout_words.get_rollout(rolling.workspace, GetRollout(endpoint=NAME))
    rolling.deploy(BETTER)
    first = at(rolling)
    move(rolling, "worse")
    rolling.deploy(GUESSING)
    second = at(rolling)
    assert rollout_words.get_rollout(rolling.workspace, GetRollout(endpoint=NAME)).rollout == second
    found = rollout_words.get_rollout(rolling.workspace, GetRollout(endpoint=NAME, id=first.id)).rollout
    assert (found.id, found.state) == (first.id, "stopped")
    with pytest.raises(NotFound):
        rollout_words.get_rollout(rolling.workspace, GetRollout(endpoint="other", id=first.id))
    assert [one.id for one in every(rolling)] == sorted([first.id, second.id])
    assert rollout_words.list_rollouts(rolling.workspace, ListRollouts(endpoint="other")).rollouts == ()


def test_two_that_begin_at_one_moment_have_an_order(rolling: Desk) -> None:
    for _ in range(4):
        rolling.deploy(BETTER)
        rollout_words.abort(rolling.workspace, Abort(endpoint=NAME))
    rolling.deploy(GUESSING)
    assert at(rolling).challenger.number == GUESSING


def test_what_is_written_with_a_move_is_written_with_it_alone(rolling: Desk) -> None:
    rolling.deploy(BETTER)
    heard: list[tuple[str, int]] = []

    def also(tx: object, moved: Rollout) -> None:
        heard.append((moved.state, moved.step))

    for verdict in ("undecided", "not worse", "not worse", "worse"):
        present = at(rolling)
        phase: Phase = "shadow" if present.state == "shadow" else "canary"
        rollouts.advance(rolling.workspace, present, look(rolling, verdict, phase=phase), also=also)  # type: ignore[arg-type]
    assert heard == [("canary", 0), ("canary", 1), ("stopped", 1)]


@pytest.mark.full
def test_a_challenger_that_does_not_load_is_stopped_and_the_champion_serves_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(desk)
    answer = desk.deploy(FIRST)

    def publish_what_is_broken(folder: Path, revision: Revision, signer: Signer) -> None:
        if revision.challenger is not None:
            shutil.rmtree(folder / "bundles" / revision.challenger.served.bundle / "model")
        publish(folder, revision, signer)

    monkeypatch.setattr("slipway.flows.publish.publish", publish_what_is_broken)
    with pytest.raises(BackendError, match=r"small-delays 2 cannot be rolled out.*the champion serves on"):
        desk.deploy(BETTER)
    monkeypatch.undo()
    rollout = at(desk)
    assert rollout.state == "stopped"
    assert rollout.reason.startswith("It does not start: ")
    assert carried(desk) == (FIRST, 0, 0)
    assert desk.ask(answer)["version"] == FIRST
    desk.deploy(BETTER)
    assert carried(desk) == (FIRST, BETTER, 0.0)


@pytest.mark.full
def test_a_real_endpoint_follows_every_step(desk: Desk) -> None:
    """One story, because each endpoint costs a process."""
    prepared(desk)
    first = desk.deploy(FIRST)
    desk.deploy(BETTER)
    status = desk.workspace.launcher.status(desk.folder)
    assert status is not None
    rows = [
        {"flight_id": f"Q{i}", "origin": "JFK", "distance": 500 + i, "departure": "2013-04-01T09:00:00Z"}
        for i in range(200)
    ]

    def versions() -> list[int]:
        with EndpointClient(status.url, NAME) as client:
            answer = client.predict(rows)["predictions"]
        return [one["version"] for one in answer]

    assert set(versions()) == {FIRST}
    move(desk, "not worse")
    few = versions()
    assert 0 < few.count(BETTER) < 60
    assert versions() == few, "nobody changes sides"
    move(desk, "not worse")
    many = versions()
    assert few.count(BETTER) < many.count(BETTER) < 150
    assert all(later == BETTER for former, later in zip(few, many, strict=True) if former == BETTER)
    move(desk, "not worse")
    assert set(versions()) == {BETTER}
    desk.rollback()
    assert set(versions()) == {FIRST}
    assert first.status is not None
    assert status.url == first.status.url
    with desk.workspace.ledger.read() as tx:
        assert len(entries.find(tx, Revision, project=NAME, name=NAME, limit=100)) == 7
