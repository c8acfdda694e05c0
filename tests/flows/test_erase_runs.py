"""A person in what runs left in their files, and in the differences of code that runs keep."""

import polars as pl
import pytest

from slipway.flows.erase import erase
from slipway.ledger import entries, run_log
from slipway.operations.erasures import Erase, ErasureReport
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, CodeVersion, Run
from slipway.runs import search
from slipway.tables.versions import overwrite

ADA = "ada@example.org"
PATCH = """diff --git a/job.py b/job.py
index 17..18 100644
@@ -17,2 +17,3 @@ def main():
 import slipway as sw
+TRY = "{}"
"""


@pytest.fixture
def people(workspace: Workspace) -> Workspace:
    overwrite(workspace, "people", pl.DataFrame({"email": [ADA]}), key=("email",))
    return workspace


def ask(workspace: Workspace, **where: str) -> ErasureReport:
    counted = erase(workspace, Erase(where=tuple(where.items()), dry_run=True))
    report = erase(workspace, Erase(where=tuple(where.items()), reason="request 17"))
    assert report.left == 0
    assert patches(report) == patches(counted)
    return report


def patches(report: ErasureReport) -> int:
    return sum(place.rows for place in report.places if place.place == "kept differences of code")


def keep(workspace: Workspace, text: str) -> str:
    data = PATCH.format(text).encode()
    digest = workspace.blobs.put(data)
    run_log.start(workspace, code=CodeVersion(dirty=True, diff=digest, diff_bytes=len(data))).finish()
    return digest


def test_a_patch_that_names_the_person_goes(people: Workspace) -> None:
    gone, longer, other = keep(people, f"mail {ADA}!"), keep(people, f"x{ADA}"), keep(people, "bob@example.org")
    report = ask(people, email=ADA)
    assert patches(report) == 1
    assert [people.blobs.has(digest) for digest in (gone, longer, other)] == [False, True, True]
    assert patches(ask(people, email=ADA)) == 0
    assert report.kept == ()
    told = {(run.code.diff, run.code.dirty) for run in search.list_runs(people)}
    assert told == {("", True), (longer, True), (other, True)}, "no page looks for what is gone"


def test_a_number_is_not_looked_for_in_patches(people: Workspace) -> None:
    overwrite(people, "numbers", pl.DataFrame({"id": [17]}), key=("id",))
    stays = keep(people, "17")
    report = ask(people, id="17")
    assert patches(report) == 0
    assert people.blobs.has(stays)
    assert report.kept == (
        "1 kept differences of code from its commit: a value without letters cannot be told from others, so they were not "
        "looked into.",
    )


def left(workspace: Workspace) -> run_log.RunLog:
    log = run_log.start(workspace)
    log.write()
    data = b'[{"email": "ada@example.org"}]'
    digest = workspace.blobs.put(data)
    log.add_artifact(Artifact(name="rows", digest=digest, fingerprint=digest, format="bytes", size_bytes=len(data)))
    return log


def test_what_a_process_left_is_taken_in_and_searched(people: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)
    log = left(people)
    id, digest = log.id, log.run.artifacts[0].digest
    del log
    report = ask(people, email=ADA)
    assert [place.rows for place in report.places if place.place == "stored results of steps"] == [1]
    assert not people.blobs.has(digest)
    with people.ledger.read() as tx:
        assert entries.get(tx, Run, id).artifacts


def test_what_waits_is_told(people: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)
    log = left(people)
    report = ask(people, email=ADA)
    assert f"What the runs {log.id[:12]} have logged in this very moment is not searched" in report.kept[0]
    log.finish()
    assert ask(people, email=ADA).kept == ()
