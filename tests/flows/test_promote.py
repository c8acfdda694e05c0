"""Promotion: the same bytes from store to store, stage by stage, going on wherever it was killed."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from small_desk import BETTER, FIRST, NAME, Desk, NoProcess

from slipway.client.endpoint import EndpointClient
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.errors import (
    Conflict,
    Corrupt,
    Denied,
    GateRefused,
    InvalidDeclaration,
    InvalidInput,
    NotFound,
    StepFailed,
)
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import revision_of
from slipway.flows.promote import promote, trust, version_of
from slipway.flows.promotion import Promoted, Promotion, default_for
from slipway.flows.promotions import list_promotions
from slipway.flows.release import declare_endpoint
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.endpoints import Deploy
from slipway.operations.governance import Grant
from slipway.operations.promotions import ListPromotions
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.people import Actor
from slipway.records.promotions import Promotion as Record
from slipway.records.promotions import PromotionStage

SETTINGS = """
[project]
name = "small-delays"
module = "small_delays"

[environments.test]
store = ".slipway-test"

[environments.prod]
store = ".slipway-prod"
"""


def ask(url: str, endpoint: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    with EndpointClient(url, endpoint) as client:
        return [float(one["score"]) for one in client.predict(rows)["predictions"]]


@dataclasses.dataclass(frozen=True)
class Chain:
    """Three environments with a store each; endpoints of test and prod are files only."""

    dev: Desk
    test: Project
    prod: Project

    def of(self, name: str) -> Workspace:
        return {"dev": self.dev.workspace, "test": self.test.workspace, "prod": self.prod.workspace}[name]

    def promote(self, to: str, number: int = FIRST, **more: Any) -> Record:
        source = {"test": "dev", "prod": "test"}[to]
        version = version_of(self.of(source), NAME, str(number))
        workflow = more.pop("workflow", None) or default_for(to, is_first=source == "dev")
        others = [self.of("dev")] if source == "test" else []
        declared = self.dev.project.module().delays
        return promote(
            self.of(source), self.of(to), version, workflow, features=declared.features, others=others, ask=ask, **more
        )

    def trusted(self, *names: str) -> None:
        for name in names:
            for other in ("dev", "test"):
                if other != name:
                    trust(self.of(other), self.of(name), self.of(other).signer.key_id)

    def approve(self, where: str, number: int = FIRST) -> None:
        grant(self.of(where), Grant(model=NAME, version=str(number), comment="seen"))


@pytest.fixture
def chain(desk: Desk, tmp_path: Path) -> Iterator[Chain]:
    folder = tmp_path / "small"
    (folder / "slipway.toml").write_text(SETTINGS)
    with ExitStack() as stack:
        opened = []
        for name in ("test", "prod"):
            project = stack.enter_context(open_project(folder, environment=name, clock=desk.clock))
            files = dataclasses.replace(project.workspace, launcher=NoProcess(project.workspace.signer))
            project = dataclasses.replace(project, workspace=files)
            for table in project.declared(Table).values():
                ingest(project.workspace, table)
            declare_endpoint(project.workspace, project.module().delays)
            opened.append(project)
        yield Chain(desk, *opened)


def states(promotion: Record) -> dict[str, str]:
    return {stage.name: stage.state for stage in promotion.stages}


def stage(promotion: Record, name: str) -> PromotionStage:
    return next(one for one in promotion.stages if one.name == name)


def test_the_same_bytes_go_all_the_way(chain: Chain) -> None:
    first = chain.promote("test")
    assert first.state == "waiting"
    key = chain.of("dev").signer.key_id
    assert stage(first, "copy").command == f"slipway promote {NAME}:1 --to test --trust {key}"
    assert registry.names(chain.of("test")) == []  # nothing is there before it is trusted

    chain.trusted("test")
    waiting = chain.promote("test")
    assert states(waiting)["copy"] == states(waiting)["gate"] == "done"
    asked = stage(waiting, "approval")
    assert (asked.state, asked.asked) == ("waiting", ("accountable",))
    assert asked.command == f"slipway approve {NAME} --version 1 --role accountable --env test"

    chain.approve("test")
    assert chain.promote("test").state == "done"
    served = revision_of(chain.of("test"), NAME)
    assert served.served.bundle == chain.dev.version(FIRST).bundle
    assert registry.aliases(chain.of("dev"), NAME)["test"] == FIRST

    chain.trusted("prod")
    assert stage(chain.promote("prod"), "approval").state == "waiting"
    assert stage(chain.promote("prod"), "evidence").sentence.startswith("Through test on 2013-04-01. gate: ")
    chain.approve("prod")
    done = chain.promote("prod")
    assert done.state == "done"
    assert revision_of(chain.of("prod"), NAME).served.bundle == chain.dev.version(FIRST).bundle
    assert "drift" in stage(done, "monitors").sentence
    for name in ("dev", "test", "prod"):  # every page shows where it stands
        found = list_promotions(chain.of(name), ListPromotions(model=NAME)).promotions
        assert done in found
        assert {one.target for one in found} == ({"prod"} if name == "prod" else {"test", "prod"})
    with chain.of("prod").ledger.read() as tx:
        copied = {one.environment for one in entries.every(tx, Verdict)}
        verbs = [event.verb for event in tx.events(limit=1000)]
    assert copied == {"test", "prod"}
    assert verbs.count("promotions.start") == verbs.count("promotions.end") == 1
    assert "models.receive" in verbs
    assert chain.promote("prod") == done  # again changes nothing


def test_what_was_not_through_test_does_not_go_to_prod(chain: Chain) -> None:
    chain.trusted("test", "prod")
    chain.promote("test")
    with pytest.raises(Conflict, match="stands at 'approval' there"):
        chain.promote("prod")
    assert registry.names(chain.of("prod")) == []


def test_a_refusal_is_the_gates_and_is_kept(chain: Chain) -> None:
    chain.trusted("test")
    with pytest.raises(GateRefused, match="was refused for test: auc"):
        chain.promote("test", 3)  # it guesses
    found = list_promotions(chain.of("dev"), ListPromotions(model=NAME)).promotions[0]
    assert states(found)["gate"] == "failed"
    assert "auc" in stage(found, "gate").sentence


@pytest.mark.parametrize("damage", ["manifest", "file", "signature"])
def test_bytes_that_are_others_do_not_arrive(chain: Chain, damage: str) -> None:
    chain.trusted("test")
    version, source = chain.dev.version(FIRST), chain.of("dev")
    wanted = {
        "manifest": version.manifest,
        "signature": version.signature,
        "file": registry.bundle_of(source, version).files[0].digest,
    }[damage]
    (path,) = [one for one in (source.root / "blobs").rglob("*") if one.is_file() and wanted[2:] in one.name]
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Corrupt):
        chain.promote("test")
    assert registry.names(chain.of("test")) == []


def test_a_signature_by_nobody_who_is_trusted_waits(chain: Chain) -> None:
    chain.promote("test")
    with pytest.raises(NotFound, match="has no key"):
        trust(chain.of("dev"), chain.of("test"), "0" * 16)
    stranger = dataclasses.replace(chain.of("test"), actor=Actor("eve", roles=("ml engineer",)))
    with pytest.raises(Denied, match=r"keys\.trust"):
        trust(chain.of("dev"), stranger, chain.of("dev").signer.key_id)


def test_who_may_not_deploy_there_does_not_promote(chain: Chain) -> None:
    stranger = dataclasses.replace(chain.of("test"), actor=Actor("eve", roles=("data scientist",)))
    with pytest.raises(Denied, match=r"promotions\.start"):
        promote(chain.of("dev"), stranger, chain.dev.version(FIRST), default_for("test", is_first=True), ask=ask)


def test_a_version_in_the_trash_goes_nowhere(chain: Chain) -> None:
    from slipway.models.numbered import put_deleted

    with chain.of("dev").ledger.write() as tx:
        put_deleted(tx, chain.of("dev"), chain.dev.version(BETTER))
    with pytest.raises(NotFound, match="small-delays 2 is in the trash of dev"):
        version_of(chain.of("dev"), NAME, "2")
    with pytest.raises(NotFound, match="has no version"):
        version_of(chain.of("dev"), NAME, "17")


def test_the_author_does_not_approve_in_the_next_store_either(chain: Chain) -> None:
    from slipway.flows.approve import authors_of
    from slipway.governance.people import add
    from slipway.operations.people import AddPerson

    chain.trusted("test")
    chain.promote("test")
    add(chain.of("test"), AddPerson(name="boss", roles=("admin",)))
    there = registry.get(chain.of("test"), NAME)
    assert chain.of("dev").actor.name in authors_of(chain.of("test"), there)
    with pytest.raises(Denied, match="made small-delays 1"):
        chain.approve("test")


def test_what_was_replaced_since_begins_anew(chain: Chain) -> None:
    chain.trusted("test")
    chain.promote("test")
    for number in (FIRST, BETTER):
        if number == BETTER:
            chain.promote("test", BETTER)
        chain.approve("test", number)
        assert chain.promote("test", number).state == "done"
    with pytest.raises(GateRefused, match="worse than small-delays 2"):  # what was done is not done for ever
        chain.promote("test", FIRST)
    newest = list_promotions(chain.of("test"), ListPromotions(model=NAME)).promotions
    assert {one.number: one.state for one in newest} == {1: "done", 2: "done", 3: "failed"}


# What a project adds


def test_a_project_adds_stages_of_its_own(chain: Chain) -> None:
    seen: list[Promoted] = []

    def seen_by_the_desk(version: Promoted) -> str:
        seen.append(version)
        if len(seen) == 1:
            raise ValueError("the winter is missing")
        return "The desk saw it."

    own = Promotion("careful", to="test", stages=["copy", "gate", seen_by_the_desk, "deploy", "registry"])
    chain.trusted("test")
    with pytest.raises(StepFailed, match="'seen_by_the_desk' objects to small-delays 1: ValueError: the winter"):
        chain.promote("test", workflow=own)
    with pytest.raises(GateRefused, match="accountable"):  # what leaves the approval out is refused when it deploys
        chain.promote("test", workflow=own)
    chain.approve("test")
    done = chain.promote("test", workflow=own)
    assert (done.state, done.workflow, len(seen)) == ("done", "careful", 2)
    assert stage(done, "seen_by_the_desk").sentence == "The desk saw it."
    assert (seen[0].model, seen[0].version, seen[0].environment) == (NAME, 1, "test")
    assert seen[0].manifest.model == NAME


def test_a_stage_that_says_nothing_fails(chain: Chain) -> None:
    def silent(version: Promoted) -> str:
        return ""

    chain.trusted("test")
    own = Promotion("silent", to="test", stages=["copy", "gate", silent, "deploy"])
    with pytest.raises(StepFailed, match="returned ''"):
        chain.promote("test", workflow=own)


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        (["copy", "gate"], "deploys nothing"),
        (["copy", "deploy"], "'deploy' without 'gate' before it"),
        (["gate", "copy", "deploy"], "'gate' without 'copy'"),
        (["copy", "gate", "gate", "deploy"], "two stages called 'gate'"),
        (["copy", "gat", "deploy"], "Did you mean 'gate'"),
        (["copy", "gate", 7, "deploy"], "was given 7"),
    ],
)
def test_a_way_that_cannot_be_is_refused(stages: list[Any], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        Promotion("odd", to="test", stages=stages)


def test_one_environment_is_no_way(chain: Chain) -> None:
    with pytest.raises(InvalidInput, match="is in dev already"):
        promote(chain.of("dev"), chain.of("dev"), chain.dev.version(FIRST), default_for("dev", is_first=True), ask=ask)


# Killed


@pytest.mark.parametrize("after", ["copy", "gate", "approval", "deploy", "registry"])
def test_a_kill_between_what_is_done_and_what_is_written(
    chain: Chain, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage has done its work, and its record still says that it is under way: the same command goes on."""
    from slipway.flows import promote as flow

    chain.trusted("test")
    chain.promote("test")
    chain.approve("test")

    class Killed(BaseException):
        pass

    def killed(way: Any, stage: Any) -> Any:
        came = original(way, stage)
        if stage == after:
            raise Killed
        return came

    original = flow._carried_out
    with monkeypatch.context() as patched:
        patched.setattr(flow, "_carried_out", killed)
        if after in ("copy", "gate"):  # they are done already: forget them
            with chain.of("test").ledger.write() as tx:
                (found,) = list(entries.every(tx, Record))
                new = tuple(PromotionStage(name=one.name) for one in found.stages)
                import msgspec

                entries.put(tx, msgspec.structs.replace(found, stages=new))
        with pytest.raises(Killed):
            chain.promote("test")
    done = chain.promote("test")
    assert done.state == "done"
    assert done.number == 1
    assert [one.number for one in registry.versions(chain.of("test"), NAME)] == [1]
    assert revision_of(chain.of("test"), NAME).number == 1


def test_the_command_goes_on_after_a_kill(desk: Desk, tmp_path: Path) -> None:
    """From the command line with real processes: killed while it deploys, then asked again."""
    folder = tmp_path / "small"
    (folder / "slipway.toml").write_text(SETTINGS)
    with open_project(folder, environment="test") as project:
        for table in project.declared(Table).values():
            ingest(project.workspace, table)
    slipway = str(Path(sys.executable).with_name("slipway"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([slipway, *words], cwd=folder, capture_output=True, text=True)

    key = desk.workspace.signer.key_id
    told = run("promote", f"{NAME}:1", "--to", "test", "--trust", key)
    assert told.returncode == 75, told.stderr
    assert "Next:  slipway approve small-delays --version 1 --role accountable --env test" in told.stdout
    assert run("approve", NAME, "--version", "1", "--role", "accountable", "--env", "test").returncode == 0
    command = [slipway, "promote", f"{NAME}:1", "--to", "test"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as begun:
        assert begun.stderr is not None
        for line in begun.stderr:
            if line.startswith("approval:"):
                break
        begun.kill()
    assert "(default): under way" in run("promote", NAME, "--to", "test", "--status").stdout
    try:
        done = run("promote", f"{NAME}:1", "--to", "test")
        assert done.returncode == 0, done.stderr
        assert f"{NAME} 1 from dev to test (default): done" in done.stdout
    finally:
        run("endpoints", "stop", NAME, "--env", "test")
    shutil.rmtree(folder / ".slipway")
    missing = run("promote", f"{NAME}:1", "--to", "test")
    assert missing.returncode == 5
    assert "has no store yet" in missing.stderr
    assert os.path.exists(folder / ".slipway-test")


def test_one_store_for_two_environments_needs_no_copy(desk: Desk) -> None:
    quiet = desk.without_processes()
    there = dataclasses.replace(quiet.in_environment("test"), launcher=quiet.workspace.launcher)
    desk.approve(FIRST)
    done = promote(desk.workspace, there, desk.version(FIRST), default_for("test", is_first=True), ask=ask)
    assert done.state == "done"
    assert "nothing to copy" in stage(done, "copy").sentence
    with pytest.raises(NotFound):
        deploy(there, Deploy(model="nothing"))
