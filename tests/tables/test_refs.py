from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ports.workspace import Workspace
from slipway.schema.fingerprints import of_frame
from slipway.tables import refs
from slipway.tables.alters import alter
from slipway.tables.catalog import as_of, head, manifest_of
from slipway.tables.part_folders import table_folder
from slipway.tables.refs import branch, drop_branch, drop_tag, merge, tag
from slipway.tables.resolve import resolve
from slipway.tables.upserts import upsert
from slipway.tables.versions import append, overwrite, read


def rows(start: int, stop: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, stop), "n": range(start, stop)})


def ids(workspace: Workspace, version: str | None = None) -> list[int]:
    return read(workspace, "t", version).collect()["id"].to_list()


def test_a_version_is_found_by_each_of_its_names(workspace: Workspace, clock: SimulatedClock) -> None:
    first = overwrite(workspace, "t", rows(0, 2))
    start = clock.now()
    clock.advance_to(start + timedelta(days=2))
    second = append(workspace, "t", rows(2, 3))
    tag(workspace, "t", "golden", 1)
    branch(workspace, "t", "fix", first.version)
    named: list[object] = [1, "1", first.version, first.version[:8], "golden", "fix", start, start.date()]
    named += [str(start.date()), (start + timedelta(days=1)).isoformat(), date(2013, 4, 2)]
    for name in named:
        assert resolve(workspace, "t", name) == first, name  # type: ignore[arg-type]
    for name in (None, 2, "main", second.version[:6], clock.now()):
        assert resolve(workspace, "t", name) == second, name
    assert ids(workspace, "golden") == [0, 1]


def test_what_names_no_version_is_said(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 2))
    tag(workspace, "t", "golden")
    with pytest.raises(NotFound, match=r"has no version 'goldne'.*Did you mean 'golden'"):
        resolve(workspace, "t", "goldne")
    with pytest.raises(NotFound, match="has no version '7'"):
        resolve(workspace, "t", 7)
    with pytest.raises(NotFound, match="has no version 'ffff0'"):
        resolve(workspace, "t", "ffff0")
    with pytest.raises(NotFound, match="had no version on"):
        resolve(workspace, "t", "2012-01-01")
    with pytest.raises(InvalidInput, match="is no date or instant"):
        resolve(workspace, "t", "2012-01-41")
    with pytest.raises(InvalidInput, match="no time zone"):
        resolve(workspace, "t", "2014-01-01T10:00")
    for name in ("12", "2013-05-01", "c0ffee", "main"):
        with pytest.raises(InvalidInput, match="it reads as"):
            tag(workspace, "t", name)


def test_a_tag_never_moves_by_itself(workspace: Workspace) -> None:
    first = overwrite(workspace, "t", rows(0, 2))
    assert tag(workspace, "t", "golden") == tag(workspace, "t", "golden") == first
    second = append(workspace, "t", rows(2, 3))
    with pytest.raises(Conflict, match="names another version"):
        tag(workspace, "t", "golden")
    assert resolve(workspace, "t", "golden") == first
    assert tag(workspace, "t", "golden", move=True) == second
    with pytest.raises(InvalidInput, match="is a tag"):
        branch(workspace, "t", "golden")
    assert drop_tag(workspace, "t", "golden") == second
    with pytest.raises(NotFound, match="has no tag 'golden'"):
        drop_tag(workspace, "t", "golden")


def test_a_branch_copies_nothing_and_is_written_on_its_own(workspace: Workspace, clock: SimulatedClock) -> None:
    first = overwrite(workspace, "t", rows(0, 2), key=("id",))
    files = sorted(table_folder(workspace, "t").iterdir())
    assert branch(workspace, "t", "fix") == first
    assert sorted(table_folder(workspace, "t").iterdir()) == files
    made = append(workspace, "t", rows(2, 3), branch="fix")
    upsert(workspace, "t", rows(0, 1).with_columns(n=pl.lit(9, pl.Int64)), branch="fix")
    last = alter(workspace, "t", rename={"n": "m"}, branch="fix")
    assert (head(workspace, "t"), head(workspace, "t", branch="fix")) == (first, last)
    assert (made.number, ids(workspace), ids(workspace, "fix")) == (2, [0, 1], [0, 1, 2])
    assert as_of(workspace, "t", clock.now()) == first
    with pytest.raises(NotFound, match=r"no branch 'fux'\. Did you mean 'fix'"):
        append(workspace, "t", rows(3, 4), branch="fux")
    with pytest.raises(Conflict, match="has a branch 'fix' already"):
        branch(workspace, "t", "fix")
    assert merge(workspace, "t", "fix") == last == head(workspace, "t") == as_of(workspace, "t", clock.now())
    assert drop_branch(workspace, "t", "fix") == last
    with pytest.raises(NotFound, match="no branch 'fix'"):
        head(workspace, "t", branch="fix")


def test_appends_of_a_branch_are_replayed_where_the_table_moved_on(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 5000), key=("id",))
    branch(workspace, "t", "late")
    append(workspace, "t", rows(6000, 6002), branch="late")
    append(workspace, "t", rows(6002, 6003), branch="late")
    upsert(workspace, "t", rows(5000, 5001).vstack(rows(0, 1).with_columns(n=pl.lit(7, pl.Int64))))
    files = set(table_folder(workspace, "t").iterdir())
    made = merge(workspace, "t", "late")
    assert set(table_folder(workspace, "t").iterdir()) == files
    assert ids(workspace) == [*range(5001), 6000, 6001, 6002]
    assert made.fingerprint == of_frame(read(workspace, "t"))
    assert (made.added_rows, made.source) == (3, "the branch late")
    assert merge(workspace, "t", "late") == made == head(workspace, "t", branch="late")
    append(workspace, "t", rows(6003, 6004), branch="late")
    assert merge(workspace, "t", "late").rows == 5005


def test_what_cannot_be_merged_is_said_and_changes_nothing(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 5), key=("id",))
    for name in ("same", "changed", "columns"):
        branch(workspace, "t", name)
    append(workspace, "t", rows(7, 8), branch="same")
    upsert(workspace, "t", rows(1, 2).with_columns(n=pl.lit(7, pl.Int64)), branch="changed")
    alter(workspace, "t", drop=["n"], branch="columns")
    now = append(workspace, "t", rows(5, 8))
    for name, why in [
        ("same", "both have rows with the key id = 7"),
        ("changed", "The branch changed or compacted rows"),
        ("columns", "The columns of the branch changed"),
    ]:
        with pytest.raises(Conflict, match=why):
            merge(workspace, "t", name)
    assert head(workspace, "t") == now
    alter(workspace, "t", add={"m": "int64"})
    with pytest.raises(Conflict, match="The columns of the table changed"):
        merge(workspace, "t", "same")
    assert manifest_of(workspace, head(workspace, "t", branch="same")).rows == 6


def test_events_tell_of_tags_and_branches(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 2))
    tag(workspace, "t", "golden")
    branch(workspace, "t", "fix")
    append(workspace, "t", rows(2, 3), branch="fix")
    merge(workspace, "t", "fix")
    with workspace.ledger.read() as tx:
        verbs = [event.verb for event in tx.events(subject="table:flights/t")]
    assert verbs == ["tables.commit", "tables.tag", "tables.branch", "tables.commit", "tables.merge"]


def test_what_comes_to_a_branch_while_it_is_merged_is_not_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite(workspace, "t", rows(0, 2))
    branch(workspace, "t", "fix")
    append(workspace, "t", rows(2, 3), branch="fix")
    now = append(workspace, "t", rows(5, 6))
    replayed = refs.appended

    def late(*given: Any) -> Any:
        monkeypatch.setattr(refs, "appended", replayed)
        append(workspace, "t", rows(3, 4), branch="fix")
        return replayed(*given)

    monkeypatch.setattr(refs, "appended", late)
    with pytest.raises(Conflict, match="was written while it was merged"):
        merge(workspace, "t", "fix")
    assert head(workspace, "t") == now
    merge(workspace, "t", "fix")
    assert ids(workspace) == [0, 1, 5, 2, 3]
