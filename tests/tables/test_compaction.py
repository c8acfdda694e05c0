import polars as pl
import pytest

from slipway.ports.workspace import Workspace
from slipway.schema.fingerprints import of_frame
from slipway.tables import compaction
from slipway.tables.alters import alter
from slipway.tables.catalog import manifest_of
from slipway.tables.compaction import compact
from slipway.tables.versions import append, overwrite, read, verify


def rows(start: int, stop: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, stop)})


def test_small_parts_become_one_and_the_content_stays(workspace: Workspace) -> None:
    first = overwrite(workspace, "t", rows(0, 3))
    for n in range(3, 9):
        last = append(workspace, "t", rows(n, n + 1))
    made = compact(workspace, "t")
    assert len(manifest_of(workspace, made).parts) == 1
    assert (made.change, made.fingerprint, made.rows, made.source) == (
        "compact",
        last.fingerprint,
        9,
        "parts: 7 before, 1 now",
    )
    assert read(workspace, "t").collect().equals(rows(0, 9))
    assert compact(workspace, "t") == made
    assert verify(workspace, "t", first.version) == first
    assert verify(workspace, "t", last.version) == last
    more = append(workspace, "t", rows(9, 10))
    assert more.fingerprint == of_frame(rows(0, 10))


def test_altered_parts_are_written_as_they_are_now(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(0, 3).with_columns(n=pl.lit(1, pl.Int32)))
    alter(workspace, "t", rename={"id": "code"}, add={"note": "string"}, widen={"n": "int64"})
    before = read(workspace, "t").collect()
    made = compact(workspace, "t")
    (part,) = manifest_of(workspace, made).parts
    assert (part.columns, part.casts, list(part.stats)) == ((), (), ["code", "n", "note"])
    assert read(workspace, "t").collect().equals(before)
    assert compact(workspace, "t") == made


def test_a_writer_that_is_faster_loses_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        (append if n else overwrite)(workspace, "t", rows(n, n + 1))  # type: ignore[operator]
    commit, tries = compaction.commit, []

    def late(*given: object, **named: object) -> object:
        tries.append(1)
        if len(tries) == 1:
            append(workspace, "t", rows(4, 5))
        return commit(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "commit", late)
    made = compact(workspace, "t")
    assert (len(tries), made.rows, [part.rows for part in manifest_of(workspace, made).parts]) == (2, 5, [4, 1])
    assert made.fingerprint == of_frame(rows(0, 5)) == of_frame(read(workspace, "t"))
