"""Any one-byte edit, deletion, swap or truncation of the stored log is found; anchors find a log that was rebuilt whole."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.errors import Corrupt, InvalidSetting
from slipway.governance import anchors, audit
from slipway.hosts.control_plane import Sealer
from slipway.ledger import events
from slipway.operations.declare import Empty
from slipway.ports.workspace import Workspace

EVENTS = ("seq", "project", "subject", "verb", "body")


def record(workspace: Workspace, times: int, project: str = "flights") -> None:
    with workspace.ledger.write() as tx:
        for i in range(times):
            there = replace(workspace, project=project)
            events.record(tx, there, "models.alias", f"model:m{i}", alias="champion", share=0.5)


@pytest.fixture
def sealed(workspace: Workspace) -> Workspace:
    """Two roots over three events."""
    record(workspace, 1)
    events.seal(workspace.ledger, workspace.signer)
    record(workspace, 2)
    events.seal(workspace.ledger, workspace.signer)
    return workspace


@contextmanager
def database(workspace: Workspace) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(workspace.root / "ledger.db", isolation_level=None)
    yield connection
    connection.close()


def is_found(workspace: Workspace) -> bool:
    try:
        events.verify(workspace.ledger, workspace.signer)
    except Corrupt:
        return True
    return False


@pytest.mark.full
def test_every_byte_of_every_event_and_root_counts(sealed: Workspace) -> None:
    """Each byte is made two others, one bit off and the other case, and each fifth what is not UTF-8."""
    tried = missed = 0
    with database(sealed) as connection:
        for table, key, columns in (("events", "seq", EVENTS[1:]), ("roots", '"index"', ("body",))):
            for number, *cells in connection.execute(f"SELECT {key}, {','.join(columns)} FROM {table}").fetchall():
                for column, cell in zip(columns, cells, strict=True):
                    data = cell.encode() if isinstance(cell, str) else cell
                    cast = "CAST(? AS TEXT)" if isinstance(cell, str) else "?"
                    change = f"UPDATE {table} SET {column}={cast} WHERE {key}=?"
                    for place in range(len(data)):
                        for other in {data[place] ^ bit for bit in (0x01, 0x20, 0x80)[: 3 if place % 5 == 0 else 2]}:
                            connection.execute(change, (data[:place] + bytes([other]) + data[place + 1 :], number))
                            tried += 1
                            missed += not is_found(sealed)
                    connection.execute(change, (data, number))
    assert missed == 0
    assert tried > 4000
    assert events.verify(sealed.ledger, sealed.signer) == (3, 0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_event_is_removed_or_renumbered(sealed: Workspace, number: int) -> None:
    with database(sealed) as connection:
        connection.execute("UPDATE events SET seq=seq+10 WHERE seq=?", (number,))
        assert is_found(sealed)
        connection.execute("DELETE FROM events WHERE seq>10")
        assert is_found(sealed)


def test_no_two_events_or_roots_are_swapped(sealed: Workspace) -> None:
    with database(sealed) as connection:
        rows = connection.execute("SELECT seq, body FROM events").fetchall()
        for (one, first), (other, second) in pairwise(rows):
            connection.execute("UPDATE events SET body=? WHERE seq=?", (second, one))
            connection.execute("UPDATE events SET body=? WHERE seq=?", (first, other))
            assert is_found(sealed)
            connection.execute("UPDATE events SET body=? WHERE seq=?", (first, one))
            connection.execute("UPDATE events SET body=? WHERE seq=?", (second, other))
        connection.execute('UPDATE roots SET "index"=3-"index"+10')
        assert is_found(sealed)
        connection.execute('UPDATE roots SET "index"=9 WHERE "index"=11')
        assert is_found(sealed)


# Anchors


@pytest.fixture
def anchored(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A store whose roots are written into a file and into a repository, with two roots."""
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)
    named = [f"file:{tmp_path}/else/roots.log", f"git:{tmp_path}/repository"]
    anchors.remember(workspace.root, "flights", named, base=tmp_path)
    for _ in range(2):
        record(workspace, 2)
        audit.seal(workspace, Empty())
    return workspace


def tags(tmp_path: Path) -> list[str]:
    told = subprocess.run(
        ["git", "-C", tmp_path / "repository", "tag"], check=True, capture_output=True, text=True
    ).stdout
    return told.split()


def rebuild(workspace: Workspace) -> None:
    """What somebody can do who holds the store and its key: write another history, and seal it anew."""
    with database(workspace) as connection:
        connection.execute("UPDATE events SET body=replace(CAST(body AS TEXT), 'champion', 'chompian')")
        connection.execute("UPDATE events SET body=CAST(body AS BLOB)")
        connection.execute("DELETE FROM roots")
    audit.head_of(workspace).unlink()
    events.seal(workspace.ledger, workspace.signer, head=audit.head_of(workspace))


def test_roots_lie_elsewhere_too(anchored: Workspace, tmp_path: Path) -> None:
    assert tags(tmp_path) == ["slipway-root-1", "slipway-root-2"]
    assert len((tmp_path / "else" / "roots.log").read_text().splitlines()) == 2
    state = audit.verify(anchored, Empty())
    assert [(one.roots, one.problem) for one in state.anchors] == [(2, ""), (2, "")]


@pytest.mark.parametrize("kind", ["file", "git"])
def test_a_log_that_was_rebuilt_with_the_stores_key_is_found(anchored: Workspace, kind: str) -> None:
    rebuild(anchored)
    assert events.verify(anchored.ledger, anchored.signer, head=audit.head_of(anchored))[0] > 0  # each seal of it holds
    anchor = next(one for one in anchors.anchors_of(anchored.root) if one.startswith(kind))
    with anchored.ledger.read() as tx:
        roots = tx.written_roots()
    with pytest.raises(Corrupt, match=r"not the one that|cut off"):
        anchors.compare(anchor, anchors.lines_of(anchor), roots)
    with pytest.raises(Corrupt):
        audit.verify(anchored, Empty())


def test_nothing_is_added_to_an_anchor_that_says_another_history(anchored: Workspace, tmp_path: Path) -> None:
    before = (tmp_path / "else" / "roots.log").read_bytes()
    rebuild(anchored)
    for _ in range(3):
        record(anchored, 1)
        states = audit.seal(anchored, Empty()).anchors
    assert all("not the one that" in one.problem for one in states)
    assert (tmp_path / "else" / "roots.log").read_bytes() == before


def test_a_truncated_log_is_found(anchored: Workspace) -> None:
    with database(anchored) as connection:
        connection.execute('DELETE FROM roots WHERE "index"=2')
        connection.execute("DELETE FROM events WHERE seq>3")
    audit.head_of(anchored).unlink()
    assert events.verify(anchored.ledger, anchored.signer) == (3, 0)
    with pytest.raises(Corrupt, match="cut off"):
        audit.verify(anchored, Empty())


def test_what_an_anchor_lacks_is_caught_up(anchored: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "else" / "roots.log"
    log.write_bytes(log.read_bytes()[:-7])  # a kill in the middle of a line
    subprocess.run(
        ["git", "-C", tmp_path / "repository", "tag", "-d", "slipway-root-1"], check=True, capture_output=True
    )
    assert [one.problem for one in anchors.catch_up(anchored)] == ["", ""]
    assert len(log.read_text().splitlines()) == 2
    assert tags(tmp_path) == ["slipway-root-1", "slipway-root-2"]


def test_an_anchor_that_cannot_be_written_is_said_once_and_tried_again(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    anchors.remember(workspace.root, "flights", ["file:blocked/roots.log", "git:nowhere"], base=tmp_path)
    record(workspace, 1)
    sealer = Sealer(workspace)
    for _ in range(3):
        sealer.seal()
        sealer.anchor()
    assert len(said) == 2
    assert "cannot be written" in said[0]
    assert "There is no git repository" in said[1]
    (tmp_path / "blocked").unlink()
    sealer.anchor()
    assert len((tmp_path / "blocked" / "roots.log").read_text().splitlines()) == 1


def test_an_edited_line_of_an_anchor_is_found(anchored: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "else" / "roots.log"
    whole = log.read_bytes()
    for place in range(0, len(whole), 5):
        if whole[place : place + 1] == b"\n":
            continue
        log.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Corrupt):
            audit.verify(anchored, Empty())


@pytest.mark.parametrize("text", ["roots.log", "file:", "s3:bucket", ""])
def test_a_setting_that_names_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="names"):
        anchors.check_anchor(text)


def test_projects_of_one_store_keep_their_anchors(workspace: Workspace, tmp_path: Path) -> None:
    anchors.remember(workspace.root, "flights", ["file:a.log"], base=tmp_path)
    anchors.remember(workspace.root, "ships", ["file:b.log"], base=tmp_path)
    anchors.remember(workspace.root, "trains", [], base=tmp_path)
    assert anchors.anchors_of(workspace.root) == [f"file:{tmp_path}/a.log", f"file:{tmp_path}/b.log"]
    anchors.remember(workspace.root, "flights", [], base=tmp_path)
    assert anchors.anchors_of(workspace.root) == [f"file:{tmp_path}/b.log"]


def test_the_roots_of_the_operation_are_those_that_were_written(sealed: Workspace) -> None:
    from slipway.operations.audit import ListRoots

    told = audit.list_roots(sealed, ListRoots()).roots
    with sealed.ledger.read() as tx:
        assert [msgspec.json.encode(root) for root in told] == [data for _, data in tx.written_roots()]
    assert isinstance(sealed.ledger, SqliteLedger)
