import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput, NotFound
from slipway.ports.workspace import Workspace
from slipway.schema import frame_digests
from slipway.schema.fingerprints import of_frame
from slipway.tables import part_folders, parts, staging, upserts, versions
from slipway.tables.catalog import manifest_of
from slipway.tables.upserts import upsert
from slipway.tables.versions import append, overwrite, read, verify

AT = datetime(2013, 1, 1, tzinfo=UTC)
NUMBERS = itertools.count()


def frame(rows: dict[int, int | None], hour: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": list(rows), "at": [AT + timedelta(hours=hour)] * len(rows), "value": list(rows.values())},
        schema={"id": pl.Int64, "at": pl.Datetime("us", "UTC"), "value": pl.Int64},
    )


def held(workspace: Workspace, table: str = "t") -> dict[int, int | None]:
    rows = read(workspace, table).collect()
    return dict(zip(rows["id"], rows["value"], strict=True))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and parts of a few rows, so that a test has many of them."""
    for module in (frame_digests, staging, upserts):
        monkeypatch.setattr(module, "BLOCK_ROWS", 4)
        monkeypatch.setattr(module, "LEAF_ROWS", 2)
    monkeypatch.setattr(parts, "PART_ROWS", 6)


@pytest.mark.usefixtures("small")
def test_only_the_part_that_holds_a_changed_key_is_written(workspace: Workspace) -> None:
    first = overwrite(workspace, "t", frame({n: n for n in range(20)}), key=("id",), time="at")
    made = upsert(workspace, "t", frame({7: 70, 8: 8, 100: 1}))
    assert (made.change, made.changed_rows, made.added_rows, made.rows) == ("upsert", 1, 1, 21)
    old, new = manifest_of(workspace, first).parts, manifest_of(workspace, made).parts
    assert [a == b for a, b in zip(old, new, strict=False)] == [True, False, True, True]
    assert held(workspace) == {**{n: n for n in range(20)}, 7: 70, 100: 1}
    assert read(workspace, "t").collect()["id"].to_list() == [*range(20), 100]
    assert made.fingerprint == of_frame(read(workspace, "t"))
    assert verify(workspace, "t") == made


@pytest.mark.usefixtures("small")
def test_parts_that_cannot_hold_a_key_are_not_opened(workspace: Workspace) -> None:
    first = overwrite(workspace, "t", frame({n: n for n in range(20)}), key=("id",))
    for part in (manifest_of(workspace, first).parts[0], manifest_of(workspace, first).parts[2]):
        path = part_folders.part_path(part_folders.table_folder(workspace, "t"), part.digest)
        path.write_bytes(bytes(path.stat().st_size))
    made = upsert(workspace, "t", frame({9: 1}))
    assert (made.changed_rows, made.added_rows) == (1, 0)


def test_what_changes_nothing_makes_no_version(workspace: Workspace) -> None:
    first = overwrite(workspace, "t", frame({1: 1, 2: None}), key=("id",))
    assert upsert(workspace, "t", frame({2: None})) == first
    assert upsert(workspace, "t", frame({})) == first


@pytest.mark.usefixtures("small")
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.integers(0, 30), st.none() | st.integers(0, 3), max_size=8), max_size=6))
@example([{1: 0}, {1: None}, {1: 0}])
def test_many_upserts_are_a_dictionary(workspace: Workspace, batches: list[dict[int, int | None]]) -> None:
    table = f"t{next(NUMBERS)}"
    overwrite(workspace, table, frame({}), key=("id",))
    expected: dict[int, int | None] = {}
    known = {1: expected}
    for batch in batches:
        before = expected
        expected = before | batch
        made = upsert(workspace, table, frame(batch))
        if made.number in known:  # rows went back to what they were: so does the head, to a version that tells its own
            assert known[made.number] == expected
            continue
        known[made.number] = expected
        assert made.added_rows == len(expected) - len(before)
        assert made.changed_rows == sum(before[n] != expected[n] for n in before)
    assert held(workspace, table) == expected
    assert upsert(workspace, table, frame({})).fingerprint == of_frame(read(workspace, table))


@given(st.permutations([0, 1, 2, 3]))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_may_come_out_of_order(workspace: Workspace, hours: list[int]) -> None:
    overwrite(workspace, "t", frame({}), key=("id",), time="at")
    for hour in hours:
        upsert(workspace, "t", frame({1: hour, 2: hour}, hour), newest_wins=True)
    assert held(workspace) == {1: 3, 2: 3}
    without = frame({1: 9}).with_columns(at=pl.lit(None, pl.Datetime("us", "UTC")))
    upsert(workspace, "t", without, newest_wins=True)
    assert held(workspace) == {1: 3, 2: 3}
    upsert(workspace, "t", frame({1: 7}, 3), newest_wins=True)
    assert held(workspace) == {1: 7, 2: 3}


def test_what_cannot_be_upserted_is_said(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="no table 't'"):
        upsert(workspace, "t", frame({1: 1}))
    overwrite(workspace, "t", frame({1: 1}))
    with pytest.raises(InvalidInput, match="has no key"):
        upsert(workspace, "t", frame({1: 1}))
    overwrite(workspace, "t", frame({1: 1}), key=("id",))
    with pytest.raises(InvalidInput, match="has no time column"):
        upsert(workspace, "t", frame({1: 1}), newest_wins=True)
    with pytest.raises(InvalidInput, match=r"1 of the 2 rows for 't' have no key: id = None"):
        upsert(workspace, "t", pl.concat([frame({1: 1}), frame({2: 2}).with_columns(id=pl.lit(None, pl.Int64))]))
    with pytest.raises(InvalidInput, match="hold the key id = 1 more than once"):
        upsert(workspace, "t", pl.concat([frame({1: 1}), frame({1: 2})]))
    append(workspace, "t", frame({1: 2}))
    with pytest.raises(InvalidInput, match="holds the key id = 1 twice"):
        upsert(workspace, "t", frame({1: 3}))
    assert upsert(workspace, "t", frame({2: 3})).rows == 3


def test_another_writer_is_built_upon(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(workspace, "t", frame({1: 1}), key=("id",))
    commit = upserts.commit

    def late(*given: object, **named: object) -> object:
        monkeypatch.setattr(upserts, "commit", commit)
        append(workspace, "t", frame({2: 2}))
        return commit(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(upserts, "commit", late)
    made = upsert(workspace, "t", frame({2: 20, 3: 3}))
    assert (made.changed_rows, made.added_rows) == (1, 1)
    assert held(workspace) == {1: 1, 2: 20, 3: 3}
    assert made.fingerprint == of_frame(read(workspace, "t"))


def test_the_tiny_parts_of_many_upserts_are_gathered(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_MANY", 4)
    overwrite(workspace, "t", frame(dict.fromkeys(range(20_000), 0)), key=("id",))
    for n in range(10):
        made = upsert(workspace, "t", frame({20_000 + n // 2: n, 20_000 + n: n, n: 1}))
        assert verify(workspace, "t") == made
        assert made.fingerprint == of_frame(read(workspace, "t"))
    assert manifest_of(workspace, made).parts[0].rows == 20_000
    assert len(manifest_of(workspace, made).parts) < 5
    assert held(workspace)[20_004] == 9
    assert sum(version.added_rows for version in versions.history(workspace, "t")) == made.rows == 20_010
