"""What was serving when, and why; and exports that an auditor verifies without Slipway."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import blake3
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.errors import Denied, InvalidInput, NotFound
from slipway.flows.audit_export import export
from slipway.flows.endpoints import stop
from slipway.flows.served import serving
from slipway.governance import offline
from slipway.ledger import events
from slipway.operations.audit import AskServing, Served
from slipway.operations.endpoints import Stop
from slipway.records.people import Actor
from slipway.schema.moments import moment

DAY = timedelta(days=1)


@pytest.fixture
def lived(desk: Desk) -> Desk:
    """Version 1 from April 2, 2 from April 4, 1 again from April 6, stopped on April 7; it is April 8."""
    quiet = desk.without_processes()
    quiet.clock.advance_to(quiet.clock.now() + DAY)
    quiet.approve(FIRST, BETTER)
    quiet.deploy(FIRST)
    quiet.clock.advance_to(quiet.clock.now() + 2 * DAY)
    quiet.deploy(BETTER)
    events.seal(quiet.workspace.ledger, quiet.workspace.signer)
    quiet.clock.advance_to(quiet.clock.now() + 2 * DAY)
    quiet.rollback()
    quiet.clock.advance_to(quiet.clock.now() + DAY)
    stop(quiet.workspace, Stop(name=NAME))
    quiet.clock.advance_to(quiet.clock.now() + DAY)
    return quiet


def told(desk: Desk, **asked: str) -> tuple[Served, ...]:
    return serving(desk.workspace, AskServing(endpoint=NAME, **asked)).served


def test_a_moment_has_one_answer_with_its_reasons(lived: Desk) -> None:
    (found,) = told(lived, at="2013-04-03T12:00Z")
    version = lived.version(FIRST)
    assert [(arm.model, arm.version, arm.bundle, arm.share) for arm in found.arms] == [(NAME, 1, version.bundle, 1.0)]
    assert (found.revision, found.actor, found.reason) == (1, lived.workspace.actor, "deploy")
    assert found.verdict is not None
    assert found.verdict.passed
    assert [(given.actor, given.decision) for given in found.approvals] == [(lived.workspace.actor, "approved")]
    assert found.data
    assert found.run_id == version.run_id
    assert found.until == datetime(2013, 4, 4, tzinfo=UTC)
    assert found.note == ""


@pytest.mark.parametrize(
    ("at", "revision"),
    [
        ("2013-04-02", 1),
        ("2013-04-04T01:59:59+02:00", 1),
        ("2013-04-04 02:00 Europe/Berlin", 2),
        ("2013-04-03 20:00 America/New_York", 2),
        ("2013-04-05T23:59:59.999999Z", 2),
        ("2013-04-08", 3),
    ],
)
def test_a_moment_belongs_to_the_revision_that_began_last(lived: Desk, at: str, revision: int) -> None:
    assert [found.revision for found in told(lived, at=at)] == [revision]


def test_a_period_is_a_timeline(lived: Desk) -> None:
    assert [(one.revision, one.arms[0].version) for one in told(lived)] == [(1, 1), (2, 2), (3, 1)]
    assert [one.revision for one in told(lived, since="2013-04-03", until="2013-04-04")] == [1]
    assert [one.revision for one in told(lived, since="2013-04-03", until="2013-04-04T00:00:01Z")] == [1, 2]
    last = told(lived, since="2013-04-07")[0]
    assert (last.revision, last.until, last.stopped_at) == (3, None, datetime(2013, 4, 7, tzinfo=UTC))
    assert last.reason.startswith("rollback to 1")


def test_words_that_came_later_are_not_told_of_a_moment(lived: Desk) -> None:
    lived.approve(BETTER)
    assert len(told(lived, at="2013-04-05")[0].approvals) == 1


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"at": "2013-04-01 12:00 Europe/Atlantis"}, "There is no time zone 'Europe/Atlantis'"),
        ({"at": "yesterday"}, "'yesterday' is no moment"),
        ({"at": ""} | {"since": "2013-04-05", "until": "2013-04-05"}, "has no length"),
        ({"at": "2013-04-05", "since": "2013-04-05"}, "A moment and a period"),
        ({"at": "2014-01-01"}, "still to come"),
        ({"since": "2014-01-01"}, "still to come"),
        ({"at": "2012-11-04 01:30 America/New_York"}, "never or twice"),
        ({"at": "2013-03-31 02:30 Europe/Berlin"}, "never or twice"),
        ({"at": "2013-04-01T12:00Z Europe/Berlin"}, "an offset and a zone"),
    ],
)
def test_moments_that_cannot_be(lived: Desk, asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        told(lived, **asked)


def test_before_the_first_revision_nothing_served(lived: Desk) -> None:
    with pytest.raises(NotFound, match="Nothing served at 'small-delays' yet at 2013-04-01 23:00 UTC"):
        told(lived, at="2013-04-01T23:00Z")
    with pytest.raises(NotFound, match="Nothing was ever deployed"):
        serving(lived.workspace, AskServing(endpoint="other"))


def test_a_moment_without_a_zone_is_utc() -> None:
    assert moment("2013-04-01") == datetime(2013, 4, 1, tzinfo=UTC)


# Exports


@pytest.fixture
def exported(lived: Desk, tmp_path: Path) -> Path:
    """The unpacked export of April 3 to 6."""
    with lived.workspace.ledger.write() as tx:  # another project's, under the same root as those of this one
        there = dataclasses.replace(lived.workspace, project="secret")
        events.record(tx, there, "models.alias", "model:secret-model", alias="champion")
    events.seal(lived.workspace.ledger, lived.workspace.signer)
    lived.approve(BETTER)  # not sealed yet, and after the period
    found = export(lived.workspace, tmp_path / "audit.zip", since="2013-04-03", until="2013-04-07")
    assert found.served == 3
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "audit.zip") as archive:
        archive.extractall(folder)
    return folder


def verified(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The script in a Python that sees no installed package."""
    return subprocess.run(
        [sys.executable, "-I", "-S", folder / "verify.py"], capture_output=True, text=True, env={}, cwd="/"
    )


def test_an_export_is_verified_without_slipway(exported: Path, lived: Desk) -> None:
    done = verified(exported)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it holds." in done.stdout
    assert lived.workspace.signer.key_id in done.stdout
    text = b"".join(path.read_bytes() for path in exported.rglob("*") if path.is_file())
    assert b"secret-model" not in text  # of another project the hash alone
    lines = [json.loads(line) for line in (exported / "events.jsonl").read_text().splitlines()]
    assert {tuple(sorted(line)) for line in lines} == {("event", "seq"), ("leaf", "seq")}
    served = [json.loads(line) for line in (exported / "served.jsonl").read_text().splitlines()]
    assert [one["revision"] for one in served] == [1, 2, 3]
    assert all(one["verdict"]["outcomes"] and one["approvals"] for one in served)
    assert {path.name.rsplit("-", 1)[0] for path in (exported / "cards").iterdir()} == {f"{NAME}-1", f"{NAME}-2"}


def test_an_edited_byte_of_any_file_is_found(exported: Path) -> None:
    for path in sorted(exported.rglob("*")):
        if not path.is_file() or path.name == "verify.py":
            continue
        data = path.read_bytes()
        for place in {0, len(data) // 2, len(data) - 1} if data else ():
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            with pytest.raises((offline.Fault, ValueError, KeyError, TypeError)):
                offline.check(exported)
        path.write_bytes(data)
    (exported / "events.jsonl").write_bytes((exported / "events.jsonl").read_bytes().replace(b"deploy", b"deplay", 1))
    done = verified(exported)
    assert done.returncode == 1
    assert "DOES NOT HOLD: The file events.jsonl was altered." in done.stdout


def test_files_added_or_missing_are_found(exported: Path) -> None:
    (exported / "more.txt").write_text("more")
    assert "more.txt is not in the export's list" in verified(exported).stdout
    (exported / "more.txt").unlink()
    (exported / "floors.jsonl").unlink()
    assert "floors.jsonl is missing" in verified(exported).stdout


def test_a_list_signed_anew_does_not_hide_an_altered_event(exported: Path, lived: Desk) -> None:
    """Whoever exports could sign another list; what was sealed does not change with it."""
    path = exported / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if b"endpoints.deploy" in line)
    lines[place] = lines[place].replace(b"deploy", b"deplay")
    path.write_bytes(b"".join(lines))
    listed = {
        one.relative_to(exported).as_posix(): blake3.blake3(one.read_bytes()).hexdigest()
        for one in exported.rglob("*")
        if one.is_file() and one.name != "files.json"
    }
    from slipway.flows.audit_export import LIST_TYPE

    (exported / "files.json").write_bytes(lived.workspace.signer.sign(json.dumps(listed).encode(), LIST_TYPE))
    assert "does not match its events" in verified(exported).stdout


def test_exports_that_cannot_be(lived: Desk, tmp_path: Path) -> None:
    there = tmp_path / "there.zip"
    there.write_text("a file")
    with pytest.raises(InvalidInput, match="There is a file"):
        export(lived.workspace, there, since="2013-04-01")
    with pytest.raises(InvalidInput, match="has no length"):
        export(lived.workspace, tmp_path / "a.zip", since="2013-04-05", until="2013-04-05")
    stranger = dataclasses.replace(lived.workspace, actor=Actor("eve", roles=("software engineer",)))
    with pytest.raises(Denied):
        export(stranger, tmp_path / "a.zip", since="2013-04-01")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3073, 7169, 20_001])
def test_the_scripts_own_digest_is_blake3(size: int) -> None:
    data = os.urandom(size)
    assert offline.blake3(data) == blake3.blake3(data).hexdigest()


def test_the_scripts_own_signatures_are_ed25519() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    message = os.urandom(99)
    signature = key.sign(message)
    assert offline.is_signed(public, message, signature)
    assert not offline.is_signed(public, message + b"!", signature)
    assert not offline.is_signed(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), message, signature)
    for place in range(0, 64, 7):
        altered = signature[:place] + bytes([signature[place] ^ 4]) + signature[place + 1 :]
        assert not offline.is_signed(public, message, altered)
