"""Anything may be made, shared, deleted, restored and purged in any order, and the process may die in between.

What was not purged reads as it was written, byte for byte; what was purged is nowhere; the audit log stays whole.
"""

import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from purge_desk import Killed, blobs, do, kept, mortal, new_logged, new_run, new_version, purge, put, verified

from slipway.backends.clocks import SimulatedClock
from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.process_launcher import ProcessLauncher
from slipway.backends.process_runner import ProcessRunner
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.hashing import digest
from slipway.hosts.online_stores import open_online
from slipway.ledger import entries
from slipway.models import numbered
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion
from slipway.records.people import Actor
from slipway.records.runs import Run, RunWriter, StepRun
from slipway.records.trash import Purge
from slipway.runs import outside

START = datetime(2013, 4, 1, tzinfo=UTC)

CONTENT = st.sampled_from([b"", b"a", b"bb", b"ccc", b"dddd"])
ANY = st.integers(0, 1000)
STEPS = st.one_of(st.none(), st.integers(0, 12))


class Purging(RuleBasedStateMachine):
    """The store beside what it should hold: files by the name of the thing, where it is, what it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.workspace = self.opened(Path(self.folder.name))
        self.ledger = self.workspace.ledger
        self.files: dict[str, dict[str, bytes]] = {}
        self.trashed: set[str] = set()
        self.made_of: dict[str, str] = {}
        self.replaced: set[str] = set()

    def opened(self, root: Path) -> Workspace:
        return Workspace(
            project="flights", environment="dev", actor=Actor("ada", roles=("admin",)), root=root,
            ledger=SqliteLedger(root / "ledger.db"), blobs=LocalBlobs(root / "blobs"), clock=SimulatedClock(START),
            signer=Ed25519Signer(root / "keys"), launcher=ProcessLauncher(), runner=ProcessRunner(),
            open_online=open_online,
        )  # fmt: skip

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def some(self, which: int, start: str = "") -> str | None:
        known = sorted(name for name in self.files if name.startswith(start))
        return known[which % len(known)] if known else None

    @rule(files=st.lists(CONTENT, max_size=3))
    def run(self, files: list[bytes]) -> None:
        id = new_run(self.workspace, *files)
        self.files[f"run:{id}"] = {f"file{number}": data for number, data in enumerate(files)}

    @rule(data=CONTENT, which=ANY)
    def replace_file(self, data: bytes, which: int) -> None:
        name = self.some(which, "run:")
        if name and name not in self.trashed:
            with self.ledger.write() as tx:
                outside.store_file(tx, self.workspace, name[4:], kept(self.workspace, "file0", data))
            former = self.files[name].get("file0")
            if former is not None:
                self.replaced.add(digest(former))
            self.files[name]["file0"] = data

    @rule(data=CONTENT)
    def model(self, data: bytes) -> None:
        self.files[f"logged:{new_logged(self.workspace, data)}"] = {"weights": data}

    @rule(which=ANY)
    def version(self, which: int) -> None:
        source = self.some(which)
        if source and source not in self.trashed and not source.startswith("model:"):
            sort, _, id = source.partition(":")
            made = new_version(self.workspace, "m", **{"run_id" if sort == "run" else "logged_id": id})
            self.files[f"model:m:{made.number}"] = {}
            self.made_of[f"model:m:{made.number}"] = source

    @rule(which=ANY)
    def delete(self, which: int) -> None:
        if name := self.some(which):
            put(self.workspace, name)
            self.trashed.add(name)

    @rule(which=ANY)
    def restore(self, which: int) -> None:
        if name := self.some(which):
            do(self.workspace, "trash.restore", items=[name])
            self.trashed.discard(name)

    @rule(steps=STEPS)
    def purge_all(self, steps: int | None) -> None:
        held = {source for version, source in self.made_of.items() if version not in self.trashed}
        going = self.trashed - held
        foretold = purge(self.workspace, older_than_days=0, dry_run=True)
        assert set(foretold.items) == going
        assert {one.item for one in foretold.kept} == self.trashed & held
        if steps is None:
            done = purge(self.workspace, older_than_days=0)
            assert (set(done.items), done.records) == (going, foretold.records)
            assert (done.blobs, done.bytes) == (foretold.blobs, foretold.bytes)
        else:
            self.dies(steps, older_than_days=0)
        self.forget_what_is_gone(going, is_whole=steps is None)

    @rule(which=ANY, steps=STEPS)
    def purge_one(self, which: int, steps: int | None) -> None:
        name = self.some(which)
        if not name or name not in self.trashed:
            return
        going = {name} - set(self.made_of.values())
        if steps is None:
            assert set(purge(self.workspace, name).items) == going
        else:
            self.dies(steps, name)
        self.forget_what_is_gone(going, is_whole=steps is None)

    def dies(self, steps: int, *items: str, **more: object) -> None:
        with suppress(Killed):
            purge(mortal(self.workspace, steps), *items, **more)

    def forget_what_is_gone(self, going: set[str], *, is_whole: bool) -> None:
        there = self.names_there()
        gone = set(self.files) - there
        assert gone <= going
        assert gone == going or not is_whole
        for name in gone:
            del self.files[name]
            self.made_of.pop(name, None)
            self.trashed.discard(name)
        if is_whole:
            with self.ledger.read() as tx:
                assert list(entries.every(tx, Purge)) == []
            assert self.named() <= blobs(self.workspace) <= self.named() | self.replaced

    @precondition(lambda self: self.files)
    @rule()
    def sweep(self) -> None:
        do(self.workspace, "trash.sweep", grace_days=0)
        assert blobs(self.workspace) == self.named()
        self.replaced.clear()

    def named(self) -> set[str]:
        return {digest(data) for files in self.files.values() for data in files.values()}

    def names_there(self) -> set[str]:
        with self.ledger.read() as tx:
            return {
                *(f"run:{run.id}" for run in entries.every(tx, Run)),
                *(f"logged:{model.id}" for model in entries.every(tx, LoggedModel)),
                *(f"model:m:{version.number}" for version in entries.every(tx, ModelVersion)),
            }

    @invariant()
    def all_that_is_there_reads_as_it_was_written(self) -> None:
        assert self.names_there() == set(self.files)
        with self.ledger.read() as tx:
            for record in (*entries.every(tx, Run), *entries.every(tx, LoggedModel)):
                name = f"{'run' if isinstance(record, Run) else 'logged'}:{record.id}"
                found = {file.name: self.workspace.blobs.get(file.digest) for file in record.artifacts}
                assert found == self.files[name]
                assert (record.deleted_at is not None) == (name in self.trashed)
            assert {part.parent_id for kind in (StepRun, RunWriter) for part in entries.every(tx, kind)} <= {
                name[4:] for name in self.files
            }
            alive = {int(name[8:]) for name in set(self.files) - self.trashed if name.startswith("model:")}
            assert {numbered.look_up(tx, "flights", "m", str(number)).number for number in alive} == alive
            newest = numbered.latest_of(tx, "flights", "m")
            assert (newest and newest.number) == max(alive, default=None)
            for name in self.files:
                sort, _, id = name.partition(":")
                for link in tx.links(f"{sort}:{id}", towards=False) if sort != "model" else ():
                    assert tx.get("model", link.target.partition(":")[2]) is not None
        assert verified(self.workspace) >= 0


Purging.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_whatever_is_deleted_in_whatever_order = Purging.TestCase
