"""Many writers, a full disk and sudden death: all that was acknowledged is there, and nothing half is."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import polars as pl
import pytest

from slipway.errors import BackendError, Corrupt
from slipway.ports.workspace import Workspace
from slipway.schema.fingerprints import of_frame
from slipway.tables.catalog import history
from slipway.tables.cleaning import clean
from slipway.tables.compaction import compact
from slipway.tables.part_folders import table_folder
from slipway.tables.refs import merge
from slipway.tables.upserts import upsert
from slipway.tables.versions import append, head, overwrite, read, verify

OPEN = """
import os, resource, signal, sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
import polars as pl
from slipway.backends.clocks import SystemClock
from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.tables import alters, cleaning, commits, compaction, parts, refs, upserts, versions

root = Path(sys.argv[1])
given = dict(project="flights", environment="dev", actor=Actor("ada", roles=("admin",)), root=root,
    ledger=SqliteLedger(root / "ledger.db"), blobs=LocalBlobs(root / "blobs"), clock=SystemClock(),
    signer=Ed25519Signer(root / "keys"), say=print)
workspace = Workspace(**{field.name: given.get(field.name) for field in fields(Workspace)})
"""


def child(workspace: Workspace, script: str, *given: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN + textwrap.dedent(script), str(workspace.root), *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(start: int, stop: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, stop), "n": range(start, stop)})


def whole(workspace: Workspace) -> pl.DataFrame:
    made = verify(workspace, "t")
    found = read(workspace, "t").collect()
    assert made.fingerprint == of_frame(found)
    return found


def test_all_appends_of_threads_and_processes_land(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 1), key=("id",))
    script = """
    start = int(sys.argv[2])
    for n in range(6):
        versions.append(workspace, "t", pl.DataFrame({"id": [start + n], "n": [1]}))
    """
    others = [child(workspace, script, str(start)) for start in (100, 200)]

    def add(start: int) -> None:
        for n in range(6):
            append(workspace, "t", rows(start + n, start + n + 1))

    threads = [threading.Thread(target=add, args=(start,)) for start in (300, 400)]
    for thread in threads:
        thread.start()
    for n in range(4):
        upsert(workspace, "t", rows(500 + n, 501 + n))
        compact(workspace, "t")
    for thread in threads:
        thread.join()
    for other in others:
        _, problems = other.communicate()
        assert other.returncode == 0, problems
    found = whole(workspace)
    assert sorted(found["id"]) == [0, *(s + n for s in (100, 200, 300, 400) for n in range(6)), *range(500, 504)]
    numbers = [version.number for version in history(workspace, "t")]
    assert numbers == list(range(len(numbers), 0, -1))


def test_a_full_disk_is_a_sentence_and_no_half_version(workspace: Workspace) -> None:
    first = overwrite(workspace, "t", rows(0, 1))
    script = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    rows = pl.DataFrame({"id": range(500_000)}).with_columns(n=pl.col("id").hash())
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        versions.overwrite(workspace, "t", rows)
    except Exception as problem:
        print(type(problem).__name__, problem)
    """
    said, _ = child(workspace, script).communicate()
    assert said.startswith("BackendError The table 't' could not be written to")
    assert "Make room" in said
    assert head(workspace, "t") == verify(workspace, "t") == first
    assert len(list(table_folder(workspace, "t").iterdir())) == 1
    assert issubclass(BackendError, OSError)


@pytest.mark.parametrize(
    ("place", "work"),
    [
        ("Path.replace", "versions.append(workspace, 't', rows)"),
        ("os.fsync", "versions.append(workspace, 't', rows)"),
        ("LocalBlobs.put", "versions.append(workspace, 't', rows)"),
        ("commits.events.record", "versions.append(workspace, 't', rows)"),
        ("commits.events.record", "upserts.upsert(workspace, 't', rows)"),
        ("commits.events.record", "alters.alter(workspace, 't', rename={'n': 'm'})"),
        ("commits.events.record", "refs.merge(workspace, 't', 'fix')"),
        ("commits.events.record", "compaction.compact(workspace, 't')"),
        ("cleaning.events.record", "cleaning.clean(workspace, keep=1, grace=timedelta())"),
        ("Path.rename", "cleaning.clean(workspace, keep=1, grace=timedelta())"),
        ("Path.unlink", "cleaning.clean(workspace, keep=1, grace=timedelta())"),
    ],
)
def test_kill_9_in_each_phase_leaves_a_readable_store(workspace: Workspace, place: str, work: str) -> None:
    script = """
    for n in range(3):
        versions.overwrite(workspace, "t", pl.DataFrame({"id": [n, n + 1], "n": [0, n]}), key=("id",))
    versions.append(workspace, "t", pl.DataFrame({"id": [7], "n": [7]}))
    refs.branch(workspace, "t", "fix")
    versions.append(workspace, "t", pl.DataFrame({"id": [8], "n": [8]}), branch="fix")
    rows = pl.DataFrame({"id": [9], "n": [9]})

    def die(*given, **named):
        os.kill(os.getpid(), signal.SIGKILL)

    *path, name = sys.argv[2].split(".")
    target = globals()[path[0]]
    for step in path[1:]:
        target = getattr(target, step)
    setattr(target, name, die)
    eval(sys.argv[3])
    """
    dying = child(workspace, script, place, work)
    _, problems = dying.communicate()
    assert dying.returncode == -signal.SIGKILL, problems
    assert whole(workspace)["id"].to_list() == [2, 3, 7]
    merged = merge(workspace, "t", "fix")
    assert append(workspace, "t", rows(9, 10)).parent == merged.version
    clean(workspace, keep=1)
    assert sorted(whole(workspace)["id"]) == [2, 3, 7, 8, 9]
    assert {path.suffix for path in table_folder(workspace, "t").iterdir()} <= {".parquet", ".tmp", ".trash"}


def test_a_truncated_part_is_named(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 5))
    (part,) = table_folder(workspace, "t").glob("*.parquet")
    part.chmod(0o644)
    os.truncate(part, 100)
    with pytest.raises(Corrupt, match=rf"its part {part.name} has 100 bytes where \d+ were written"):
        read(workspace, "t")
    with pytest.raises(Corrupt, match=part.name):
        append(workspace, "t", rows(5, 6))
