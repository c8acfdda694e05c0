"""Deploying: only what passes serves, in turns, without a restart, and there is a way back."""

import dataclasses
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.errors import BackendError, Conflict, GateRefused, InvalidInput, NotFound, SlipwayError, Unavailable
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy, rollback
from slipway.flows.endpoints import list_endpoints, revision_of, stop
from slipway.flows.release import declare_endpoint
from slipway.flows.watch import watch
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Deploy, Rollback, Stop, Watch
from slipway.operations.governance import Grant
from slipway.ports.signer import Signer
from slipway.records.endpoints import Revision
from slipway.records.gates import CheckSpec, GateSpec, Verdict
from slipway.serving.swap import REVISION_FILE, publish, read_revision


def verdicts(desk: Desk) -> list[Verdict]:
    with desk.workspace.ledger.read() as tx:
        return entries.find(tx, Verdict, project=NAME, limit=100)


def test_a_refusal_names_the_next_step_and_nothing_serves(desk: Desk) -> None:
    with pytest.raises(GateRefused) as refusal:
        desk.deploy(FIRST)
    assert "small-delays 1 was refused for dev: approved as accountable" in refusal.value.what
    assert refusal.value.fix == "slipway approve small-delays --version 1 --role accountable"
    assert isinstance(refusal.value.verdict, Verdict)
    assert not refusal.value.verdict.passed
    assert [kept.id for kept in verdicts(desk)] == [refusal.value.verdict.id]
    assert not (desk.folder / REVISION_FILE).exists()
    assert list_endpoints(desk.workspace, Empty()).endpoints == ()
    assert desk.champion() == 0


def test_another_name_is_no_way_round_the_gate(desk: Desk) -> None:
    with pytest.raises(GateRefused, match="approved as accountable"):
        desk.deploy(FIRST, endpoint="elsewhere")
    assert not (desk.folder.parent / "elsewhere" / REVISION_FILE).exists()
    asked = verdicts(desk)[0].outcomes
    with pytest.raises(GateRefused):
        desk.deploy(FIRST)
    assert [one.check for one in verdicts(desk)[0].outcomes] == [one.check for one in asked]


def test_an_approval_is_void_for_other_bytes(desk: Desk) -> None:
    desk.approve(FIRST)
    assert desk.deploy(FIRST, dry_run=True).verdict.passed
    assert not desk.deploy(BETTER, dry_run=True).verdict.passed


def test_a_rejection_refuses(desk: Desk) -> None:
    desk.approve(FIRST)
    from slipway.flows.approve import grant
    from slipway.operations.governance import Grant

    grant(desk.workspace, Grant(model=NAME, version="1", decision="rejected", comment="not yet"))
    assert not desk.deploy(FIRST, dry_run=True).verdict.passed


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    desk.approve(FIRST)
    before = desk.events(), verdicts(desk), desk.champion(), sorted(desk.workspace.root.rglob("*"))
    answer = desk.deploy(FIRST, dry_run=True)
    assert answer.verdict.passed
    assert (answer.revision, answer.status) == (None, None)
    assert (desk.events(), verdicts(desk), desk.champion(), sorted(desk.workspace.root.rglob("*"))) == before


def test_prod_asks_for_a_declared_gate(desk: Desk) -> None:
    desk.approve(FIRST)
    with pytest.raises(GateRefused, match="No gate is declared, and prod asks for one"):
        deploy(dataclasses.replace(desk.workspace, environment="prod"), Deploy(model=NAME, endpoint="other"))
    assert deploy(desk.in_environment("prod"), Deploy(model=NAME, version="1", dry_run=True)).verdict.passed


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"model": "small-delay"}, "Did you mean 'small-delays'?"),
        ({"version": "9"}, "The newest version is 3."),
        ({"version": "champion"}, "no alias 'champion'"),
        ({"version": "-1"}, "-1"),
    ],
)
def test_an_unknown_model_or_version_says_what_is_known(desk: Desk, asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(NotFound) as problem:
        deploy(desk.workspace, Deploy(**{"model": NAME, **asked}))  # type: ignore[arg-type]
    assert sentence in str(problem.value)


def test_names_and_ports_that_cannot_be_are_refused_before_anything_is_judged(desk: Desk) -> None:
    desk.approve(FIRST)
    before = desk.events()
    for wrong in ({"endpoint": "../up"}, {"endpoint": "A B"}, {"port": 70_000}, {"port": -1}):
        with pytest.raises(InvalidInput):
            desk.deploy(FIRST, **wrong)
    assert desk.events() == before


@pytest.mark.parametrize("flow", [lambda w: rollback(w, Rollback(name="x")), lambda w: stop(w, Stop(name="x"))])
def test_an_endpoint_that_never_was_says_so(desk: Desk, flow: object) -> None:
    with pytest.raises(NotFound, match="slipway deploy MODEL"):
        flow(desk.workspace)  # type: ignore[operator]
    assert not (desk.workspace.root / "endpoints").exists()


def test_from_first_deployment_to_roll_back(desk: Desk) -> None:
    """One story, because each endpoint costs a process."""
    desk.approve(FIRST, BETTER, GUESSING)
    first = desk.deploy(FIRST)
    assert first.revision is not None
    assert first.status is not None
    answered = desk.ask(first)
    assert (answered["version"], answered["revision"]) == (1, 1)
    assert desk.champion() == 1
    assert first.revision.verdict_id == first.verdict.id

    # another version swaps in: same process, same port, other answers
    second = desk.deploy(BETTER)
    assert second.status is not None
    assert (second.status.pid, second.status.url) == (first.status.pid, first.status.url)
    better = desk.ask(second)
    assert (better["version"], better["revision"]) == (2, 2)
    assert better["score"] != answered["score"]
    assert desk.champion() == 2

    # a worse challenger is refused for what it is: compared with the champion on the same rows
    with pytest.raises(GateRefused) as refusal:
        desk.deploy(GUESSING)
    ruling = refusal.value.verdict
    assert isinstance(ruling, Verdict)
    compared = next(outcome for outcome in ruling.outcomes if "champion" in outcome.check)
    assert compared.result == "refused"
    assert "worse than small-delays 2" in compared.found
    assert "576 rows" in compared.found
    assert desk.ask(second)["score"] == better["score"]

    # and back: a new revision equal to the old one
    back = desk.rollback()
    assert back.revision is not None
    assert (back.revision.number, back.revision.served.number, back.revision.reason) == (3, 1, "rollback to 1")
    assert back.verdict.id == first.verdict.id
    assert desk.ask(back)["score"] == answered["score"]
    assert desk.champion() == 1
    with pytest.raises(NotFound, match="Its revisions are 1 to 3"):
        desk.rollback(to=7)
    with pytest.raises(NotFound, match="no revision -1"):
        desk.rollback(to=-1)

    # stopped and started again it answers at the same address
    assert stop(desk.workspace, Stop(name=NAME)).was_running
    assert not stop(desk.workspace, Stop(name=NAME)).was_running
    again = desk.deploy(FIRST)
    assert again.status is not None
    assert again.status.url == first.status.url
    assert again.status.pid != first.status.pid
    assert desk.ask(again)["score"] == answered["score"]
    assert "counts from its next start" not in (desk.folder / "front.log").read_text()


def test_what_serves_in_prod_is_replaced_only_by_what_prod_lets_through(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST, BETTER)
    desk.deploy(FIRST)
    prod = desk.in_environment("prod")
    deploy(prod, Deploy(model=NAME, version="2"))
    with pytest.raises(Conflict, match="--env prod"):
        desk.deploy(FIRST)
    with pytest.raises(Conflict, match="--env prod"):
        desk.rollback()
    with pytest.raises(Conflict, match="was let through for dev"):
        rollback(prod, Rollback(name=NAME))
    assert revision_of(desk.workspace, NAME).number == 2


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.full)])
def test_deployments_at_once_take_turns(desk: Desk, processes: bool) -> None:
    desk = desk if processes else desk.without_processes()
    desk.approve(FIRST, BETTER)
    desk.deploy(FIRST)
    together = threading.Barrier(4)

    def one(number: int) -> object:
        together.wait()
        try:
            return desk.deploy(number)
        except SlipwayError as problem:
            return problem

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, [BETTER, FIRST, BETTER, FIRST]))
    for answer in answers:
        assert not isinstance(answer, BackendError), answer
        assert not isinstance(answer, SlipwayError) or isinstance(answer, Conflict | GateRefused), answer
    newest = revision_of(desk.workspace, NAME)
    with desk.workspace.ledger.read() as tx:
        numbers = [r.number for r in entries.find(tx, Revision, project=NAME, name=NAME, limit=100)]
    assert sorted(numbers) == list(range(1, newest.number + 1))
    assert newest.number > 1
    assert read_revision(desk.folder / REVISION_FILE, desk.workspace.signer) == newest
    status = desk.workspace.launcher.status(desk.folder)
    assert status is not None
    assert status.revision == newest.number
    assert desk.champion() == newest.served.number


@pytest.mark.full
def test_a_revision_that_cannot_be_loaded_leaves_the_former_one_serving(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.approve(FIRST, BETTER)
    first = desk.deploy(FIRST)

    def publish_what_is_broken(folder: Path, revision: Revision, signer: Signer) -> None:
        shutil.rmtree(folder / "bundles" / revision.served.bundle / "model")
        publish(folder, revision, signer)

    monkeypatch.setattr("slipway.flows.publish.publish", publish_what_is_broken)
    with pytest.raises(BackendError, match="did not take revision 2; revision 1 still serves"):
        desk.deploy(BETTER)
    monkeypatch.undo()
    assert desk.ask(first)["version"] == 1
    assert desk.champion() == 1
    watch(desk.workspace, Watch(name=NAME))
    assert desk.events()[-1].subject == f"revision:{NAME}/{NAME}/1", "what answers is watched, not what was refused"
    assert desk.ask(desk.deploy(BETTER))["version"] == 2


@pytest.mark.full
def test_a_damaged_bundle_in_the_endpoints_folder_is_fetched_anew(desk: Desk) -> None:
    desk.approve(FIRST, BETTER)
    first = desk.deploy(FIRST)
    bundle = desk.folder / "bundles" / desk.version(FIRST).bundle
    card = bundle / "card.md"
    os.chmod(bundle, 0o755)
    card.chmod(0o644)
    card.write_text("Another story.")
    again = desk.deploy(FIRST)
    assert "Another story." not in card.read_text()
    assert desk.ask(again)["score"] == desk.ask(first)["score"]


@pytest.mark.full
def test_a_port_that_is_asked_for_is_had(desk: Desk, said: list[str]) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    desk.approve(FIRST)
    deployed = desk.deploy(FIRST, port=port)
    assert deployed.status is not None
    assert deployed.status.url.endswith(f":{port}")
    loud = dataclasses.replace(desk.workspace, say=said.append)
    deploy(loud, Deploy(model=NAME, version="1", port=port + 1))
    assert any(f"on port {port} until it is stopped" in line for line in said)


def test_the_gate_is_the_one_that_was_declared_last(desk: Desk) -> None:
    import slipway as sw

    module = desk.project.module()
    strict = dataclasses.replace(module.delays, gate=sw.Gate(sw.metric("auc") >= 0.99))
    declare_endpoint(desk.workspace, strict)
    with pytest.raises(GateRefused, match=r"auc at least 0\.99") as refusal:
        desk.deploy(FIRST)
    assert "It misses by" in refusal.value.fix
    count = len(desk.events())
    declare_endpoint(desk.workspace, strict)
    assert len(desk.events()) == count, "a declaration that did not change is no event"


def test_an_altered_manifest_does_not_deploy(desk: Desk) -> None:
    desk.approve(FIRST)
    version = desk.version(FIRST)
    blob = desk.workspace.root / "blobs" / version.manifest[:2] / version.manifest[2:]
    blob.chmod(0o644)
    manifest = json.loads(blob.read_bytes())
    manifest["decision"]["threshold"] = 0.0
    blob.write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(SlipwayError):
        desk.deploy(FIRST)
    assert not (desk.folder / REVISION_FILE).exists()


def test_moving_the_alias_does_not_spare_a_worse_model_the_comparison(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST, GUESSING)
    desk.deploy(FIRST)
    registry.set_alias(desk.workspace, NAME, "champion", str(desk.version(GUESSING).number))
    with pytest.raises(GateRefused) as caught:
        desk.deploy(GUESSING)
    assert isinstance(caught.value.verdict, Verdict)
    against = [outcome for outcome in caught.value.verdict.outcomes if "champion" in outcome.check]
    assert {outcome.result for outcome in against} <= {"refused", "cannot tell"}


def test_what_was_rejected_since_does_not_come_back(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST, BETTER)
    desk.deploy(FIRST)
    desk.deploy(BETTER)
    version = desk.version(FIRST)
    grant(desk.workspace, Grant(model=NAME, version=str(version.number), decision="rejected", comment="A leak."))
    with pytest.raises(GateRefused, match="rejected as accountable"):
        desk.rollback()
    assert revision_of(desk.workspace, NAME).served.number == desk.version(BETTER).number


def test_a_dry_run_judges_by_the_gate_that_it_is_given_and_keeps_none(desk: Desk) -> None:
    desk.approve(FIRST)
    impossible = GateSpec(checks=(CheckSpec(kind="metric", metric="auc", op=">=", limit=1.01),))
    asked = Deploy(model=NAME, version=str(desk.version(FIRST).number), dry_run=True)
    assert not deploy(desk.workspace, msgspec.structs.replace(asked, gate=impossible)).verdict.passed
    assert deploy(desk.workspace, asked).verdict.passed


def test_a_damaged_bundle_is_fetched_anew_and_one_that_could_not_be_verified_is_left(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST, BETTER)
    desk.deploy(FIRST)
    desk.deploy(BETTER)
    bundle = desk.folder / "bundles" / desk.version(FIRST).bundle
    card = (bundle / "card.md").read_text()
    os.chmod(bundle, 0o755)
    (bundle / "card.md").unlink()

    class AwayFromHome(Ed25519Signer):
        def verify(self, envelope: bytes, payload_type: str) -> bytes:
            raise Unavailable("The keys cannot be reached.")

    away = dataclasses.replace(desk.workspace, signer=AwayFromHome(desk.workspace.root / "keys"))
    with pytest.raises(Unavailable):
        rollback(away, Rollback(name=NAME))
    assert (bundle / "manifest.json").exists()
    assert not (bundle / "card.md").exists()
    desk.rollback()
    assert (bundle / "card.md").read_text() == card
