"""Promotion: the same bytes from store to store, stage by stage, going on wherever it was killed."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from small_desk import BETTER, FIRST, NAME, Desk, NoProcess
from zoo_desk import in_this_process

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
from slipway.flows.check_load import check_load
from slipway.flows.deploy import deploy
from slipway.flows.documents import answer
from slipway.flows.endpoints import revision_of
from slipway.flows.event_words import told
from slipway.flows.floors import set_floor
from slipway.flows.judging import declared_endpoint, judge_version
from slipway.flows.promote import promote, trust, version_of
from slipway.flows.promotion import Promoted, Promotion, default_for
from slipway.flows.promotions import list_promotions
from slipway.flows.release import declare_endpoint
from slipway.gates.behaviour import documented
from slipway.gates.declare import Gate, approval, load, metric, replayed, reproduced
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries, lineage
from slipway.ledger.attest import signed
from slipway.models import registry
from slipway.models.received import verdicts_of
from slipway.models.registered import documents
from slipway.operations.documents import AnswerField
from slipway.operations.endpoints import Deploy
from slipway.operations.floors import SetFloor
from slipway.operations.governance import Grant
from slipway.operations.load import CheckLoad
from slipway.operations.promotions import ListPromotions
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.promotions import Promotion as Record
from slipway.records.promotions import PromotionStage
from slipway.records.reproductions import Reproduction
from slipway.records.responsibility import RaciRow
from slipway.records.runs import StepRun
from slipway.records.tables import AboutTable
from slipway.tables import versions
from slipway.tables.personal import MASK
from slipway.tables.versions import Origin

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
        more = {"ask": ask, "serve": in_this_process, "others": others, "features": declared.features, **more}
        return promote(self.of(source), self.of(to), version, workflow, **more)

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


def test_why_it_is_promoted_stays_with_it_and_in_both_audit_logs(chain: Chain) -> None:
    chain.promote("test", reason="the summer\nschedule")
    chain.trusted("test")
    assert chain.promote("test").reason == "the summer schedule"  # going on without one leaves it
    for name in ("dev", "test"):
        with chain.of(name).ledger.read() as tx:
            begun = next(event for event in tx.events(limit=1000) if event.verb == "promotions.start")
        assert told(begun) == f"began to promote {NAME} 1 to test: the summer schedule"
    assert chain.promote("test", reason="the autumn one").reason == "the autumn one"
    with pytest.raises(InvalidInput, match="1,001 characters"):
        chain.promote("test", reason="x" * 1001)


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
    done = chain.promote("test")
    assert done.state == "done"
    tried = stage(done, "experiment")
    assert tried.replay is not None
    assert (tried.replay.verdict, tried.replay.rows, tried.replay.of) == ("equal", 500, 2832)
    assert "500 of 2,832 training rows were asked over HTTP" in tried.sentence
    assert chain.promote("prod").stages[0].sentence.count("training rows were asked over HTTP") == 1
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


def test_it_names_who_is_asked_consulted_and_told(chain: Chain) -> None:
    from slipway.governance import raci
    from slipway.governance.absences import away
    from slipway.governance.people import add
    from slipway.operations.people import AddPerson
    from slipway.operations.responsibility import Away

    there = chain.of("test")
    for name, role in (("boss", "admin"), ("grace", "business owner"), ("gov", "governance"), ("eve", "data engineer")):
        add(there, AddPerson(name=name, roles=(role,)))
    row = RaciRow(stage="approve", accountable=("grace",), consulted=("boss",), informed=("boss",))
    raci.declare(there, (RaciRow(stage="validate", informed=("eve",)), row))
    chain.trusted("test")
    waiting = chain.promote("test")
    assert stage(waiting, "gate").informed == ("eve",)
    asked = stage(waiting, "approval")
    assert (asked.asked, asked.consulted, asked.informed) == (("grace",), ("boss",), ("eve",))
    assert "Accountable: grace." in asked.sentence
    away(there, Away(name="grace", until=there.clock.now() + timedelta(days=2), deputy="gov"))
    asked = stage(chain.promote("test"), "approval")
    assert asked.asked == ("gov",)
    assert "Accountable: gov for grace, who is away." in asked.sentence


def test_words_that_nobody_can_give_are_refused_before_anybody_is_asked(chain: Chain) -> None:
    from slipway.governance import raci

    floor = SetFloor(environment="test", checks=("sw.approval('accountable', count=2)",), reason="four eyes")
    set_floor(chain.of("test"), floor)
    declared = dataclasses.replace(chain.dev.project.module().delays, gate=None)
    declare_endpoint(chain.of("test"), declared)
    raci.declare(chain.of("test"), (RaciRow(stage="approve", accountable=("grace",)),))
    chain.trusted("test")
    with pytest.raises(GateRefused, match=r"makes 1 accountable for approving: grace") as caught:
        chain.promote("test")
    assert "in the gate or the floor: sw.approval('accountable'), sw.approval('governance')" in caught.value.fix
    assert "--env" not in caught.value.fix
    found = list_promotions(chain.of("dev"), ListPromotions(model=NAME)).promotions[0]
    assert states(found)["gate"] == "failed"


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


# The experiment


def served_in_test(chain: Chain, **more: Any) -> Record:
    chain.trusted("test")
    chain.promote("test", **more)
    chain.approve("test")
    return chain.promote("test", **more)


def halve_the_wind(workspace: Workspace, name: str) -> None:
    head = versions.head(workspace, name)
    rows = versions.read(workspace, name).collect().with_columns(pl.col("wind") * 0.5)
    manifest = versions.manifest_of(workspace, head)
    versions.overwrite(workspace, name, rows, key=manifest.key, time=manifest.time)


def test_a_feed_that_is_another_there_ends_it_and_the_evidence_is_kept(chain: Chain) -> None:
    halve_the_wind(chain.of("test"), "weather")
    with pytest.raises(
        GateRefused, match=r"does not get in test what it was trained on: weather_now_wind is "
    ) as caught:
        served_in_test(chain)
    assert "sw.replayed(max_share=0.01)" in caught.value.fix
    for name in ("dev", "test"):
        (found,) = list_promotions(chain.of(name), ListPromotions(model=NAME)).promotions
        tried = stage(found, "experiment")
        assert (found.state, tried.state) == ("failed", "failed")
        assert tried.replay is not None
        assert {one.column for one in tried.replay.columns if one.differing} >= {"weather_now_wind", "the answer"}


def test_without_stored_rows_it_says_why_and_goes_on_by_the_gate(chain: Chain) -> None:
    with chain.of("dev").ledger.write() as tx:
        for step in list(entries.every(tx, StepRun)):
            entries.put(tx, msgspec.structs.replace(step, outputs=()))
    done = served_in_test(chain)
    tried = stage(done, "experiment")
    assert done.state == "done"
    assert tried.replay is not None
    assert tried.replay.verdict == "cannot"
    assert "no training rows could be replayed: The training rows of small-delays 1 are not stored" in tried.sentence
    assert "Its gate asks for no replay" in tried.sentence


def test_values_of_persons_are_in_no_kept_replay(chain: Chain) -> None:
    about = Origin(about=AboutTable(personal=("mail",)))
    versions.overwrite(chain.of("dev"), "people", pl.DataFrame({"mail": ["ada"]}), origin=about)
    halve_the_wind(chain.of("test"), "weather")
    with pytest.raises(GateRefused, match=r"weather_now_wind differs in [\d,]+ of 500 rows"):
        served_in_test(chain)
    (found,) = list_promotions(chain.of("test"), ListPromotions(model=NAME)).promotions
    tried = stage(found, "experiment")
    assert tried.replay is not None
    assert "in the training set and" not in tried.sentence
    assert {one.first for one in tried.replay.columns} == {"", MASK}


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
                entries.put(tx, msgspec.structs.replace(found, stages=new))
        with pytest.raises(Killed):
            chain.promote("test")
    done = chain.promote("test")
    assert done.state == "done"
    assert done.number == 1
    assert [one.number for one in registry.versions(chain.of("test"), NAME)] == [1]
    assert revision_of(chain.of("test"), NAME).number == 1


@pytest.mark.full
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


def reproduced_there(there: Workspace, version: ModelVersion) -> None:
    """What `slipway reproduce` keeps of a repetition."""
    made = Reproduction(
        id=f"{version.run_id}-1",
        parent_id=version.run_id,
        number=1,
        project=there.project,
        name="release",
        created_at=there.clock.now(),
        verdict="equal",
        sentence="6 steps are equal.",
        bundle=version.bundle,
        actor=there.actor,
    )
    with there.ledger.write() as tx:
        entries.put(tx, signed(made, there.signer), expect=0)
        lineage.link(tx, f"bundle:{version.bundle}", f"reproduction:{made.id}", "reproduced")


@pytest.mark.full
def test_what_was_shown_of_the_bytes_goes_with_them(chain: Chain) -> None:
    """Load tests, a replay and what people wrote: the training rows and the people who wrote stay where they are."""
    dev, test = chain.of("dev"), chain.of("test")
    asks = Gate(
        metric("auc") >= 0.5,
        replayed(40),
        reproduced(),
        load(rate=10, p95_ms=60_000),
        documented("purpose"),
        approval("accountable"),
    )
    for there in (dev, test):
        declare_endpoint(there, dataclasses.replace(chain.dev.project.module().delays, gate=asks))
    chain.trusted("test")
    with pytest.raises(GateRefused, match="stayed in the store that it came from"):
        chain.promote("test")  # nobody replayed it in dev either
    against = [one for one in verdicts_of(test, chain.dev.version(FIRST).bundle)[0].outcomes if one.result != "passed"]
    assert sorted(one.fix for one in against) == [
        'Answer it: slipway documents answer card small-delays purpose "..." --env test',
        "Let that gate judge it with sw.replayed() in it (slipway deploy small-delays), then promote it again.",
        "Reproduce it there (slipway reproduce small-delays), then promote it again.",
        "slipway approve small-delays --version 1 --role accountable --env test",
        "slipway check-load small-delays:1 --rate 10 --env test",
    ]
    answer(dev, AnswerField(kind="card", name=NAME, field="purpose", text="To warn the gate."))
    check_load(dev, CheckLoad(target=f"{NAME}:{FIRST}", rate=10, seconds=1))
    reproduced_there(dev, chain.dev.version(FIRST))
    judge_version(
        dev,
        chain.dev.version(FIRST),
        registry.bundle_of(dev, chain.dev.version(FIRST)),
        declared_endpoint(dev, NAME),
        keep=True,
    )
    waits = chain.promote("test")
    assert (waits.state, states(waits)["gate"], states(waits)["approval"]) == ("waiting", "done", "waiting")
    judged = next(one for one in verdicts_of(test, waits.bundle) if one.environment == "test")
    (told,) = [one.found for one in judged.outcomes if "asked over HTTP" in one.check]
    assert told.startswith(f"in dev on {dev.clock.now():%Y-%m-%d}: 40 of 2,832 training rows were asked over HTTP")
    answer(test, AnswerField(kind="card", name=NAME, field="purpose", text="To warn the passengers."))
    chain.approve("test")
    assert chain.promote("test").state == "done"
    with test.ledger.read() as tx:
        assert documents(tx, test, NAME)["purpose"].text == "To warn the passengers."
