from datetime import UTC, datetime
from typing import Any

import pandas as pd
import polars as pl
import pytest

from slipway.data.checks import between, not_null, one_of, references, unique
from slipway.data.declare import Table, table
from slipway.data.ingest import in_order, ingest
from slipway.errors import InvalidInput, NotFound, StepFailed
from slipway.ledger import lineage
from slipway.ports.workspace import Workspace
from slipway.tables.catalog import node
from slipway.tables.versions import head, history, read, reads

ROWS = pl.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "at": [datetime(2013, 1, day, tzinfo=UTC) for day in range(1, 5)],
        "distance": [100, 200, 9000, None],
        "tail": ["N1", None, None, "N2"],
    }
)


def declared(result: Any, **more: Any) -> Table:
    def flights() -> Any:
        return result

    return table(**({"key": "id", "time": "at"} | more))(flights)


@pytest.mark.parametrize("result", [ROWS, ROWS.lazy(), ROWS.to_pandas()], ids=["eager", "lazy", "pandas"])
def test_every_row_becomes_part_of_a_version(workspace: Workspace, result: Any) -> None:
    made = ingest(workspace, declared(result))
    assert made == head(workspace, "flights")
    assert read(workspace, "flights").collect()["id"].to_list() == ["a", "b", "c", "d"]
    assert (made.number, made.rows, made.data_until) == (1, 4, datetime(2013, 1, 4, tzinfo=UTC))
    assert made.source.endswith("test_ingest:declared.<locals>.flights")


def test_dirt_is_said_and_kept_with_the_version(workspace: Workspace, said: list[str]) -> None:
    checks = [between("distance", 0, 6000, severity="warn"), unique("id")]
    made = ingest(workspace, declared(ROWS, checks=checks))
    assert said == [
        "flights: 4 rows, 4 columns, 3 checks",
        "  nulls: tail 50.0 %, distance 25.0 %",
        "  warning: 'distance is between 0 and 6000' fails for 1 of 3 rows (33.3 %), for example c",
        f"flights: version 1 ({made.version[:12]})",
    ]
    assert [(r.check, r.passed, r.failed_rows) for r in made.checks] == [
        ("distance is between 0 and 6000", False, 1),
        ("id is unique", True, 0),
        ("at is not null", True, 0),
    ]


def test_a_blocking_check_refuses_and_stores_nothing(workspace: Workspace) -> None:
    good = ingest(workspace, declared(ROWS))
    bad = declared(ROWS, checks=[between("distance", 0, 6000), not_null("tail"), one_of("id", list("abcd"))])
    with pytest.raises(InvalidInput) as caught:
        ingest(workspace, bad, function_result=ROWS.with_columns(x=1))
    assert "'distance is between 0 and 6000' fails for 1 of 3 rows (33.3 %), for example c" in str(caught.value)
    assert "'tail is not null' fails for 2 of 4 rows (50.0 %), for example b, c" in str(caught.value)
    assert 'severity="warn"' in caught.value.fix
    assert history(workspace, "flights") == (good,)


def test_the_same_content_again_changes_nothing(workspace: Workspace, said: list[str]) -> None:
    first = ingest(workspace, declared(ROWS))
    assert ingest(workspace, declared(ROWS.lazy())) == first
    assert said[-1] == f"flights: unchanged, version 1 ({first.version[:12]})"
    second = ingest(workspace, declared(ROWS), function_result=ROWS.head(3))
    assert (second.number, second.parent) == (2, first.version)


def test_a_key_that_repeats_and_a_time_that_lacks_are_reported_unasked(workspace: Workspace) -> None:
    rows = ROWS.with_columns(id=pl.lit("a"), at=pl.when(pl.col("distance") > 100).then("at"))
    made = ingest(workspace, declared(rows))
    assert [(r.check, r.severity, r.failed_rows) for r in made.checks] == [
        ("id is unique", "warn", 4),
        ("at is not null", "warn", 2),
    ]


def test_a_function_that_raises_is_the_users_and_says_where(workspace: Workspace) -> None:
    @table
    def broken() -> pl.DataFrame:
        return pl.DataFrame({"x": [1 // 0]})

    with pytest.raises(StepFailed, match="'broken' raised ZeroDivisionError") as caught:
        ingest(workspace, broken)
    assert caught.value.step == "broken"
    assert "1 // 0" in caught.value.trace
    assert "ingest.py" not in caught.value.trace.replace("test_ingest.py", "")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_lazy_query_that_fails_is_the_users(workspace: Workspace) -> None:
    with pytest.raises(StepFailed, match="raised ColumnNotFoundError"):
        ingest(workspace, declared(ROWS.lazy().select("nowhere")))


def test_slipways_own_sentences_pass_through(workspace: Workspace) -> None:
    @table
    def derived() -> pl.LazyFrame:
        return declared(ROWS).read()

    with pytest.raises(NotFound, match="no table 'flights'"):
        ingest(workspace, derived)


def test_no_frame_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match=r"What flights\(\) returned is a builtins\.dict"):
        ingest(workspace, declared({"id": [1]}))


def test_a_pandas_frame_with_wall_times_is_told_how_to_mend_them(workspace: Workspace) -> None:
    naive = pd.DataFrame({"id": ["a"], "at": [pd.Timestamp("2013-01-01")]})
    with pytest.raises(InvalidInput, match="replace_time_zone"):
        ingest(workspace, declared(naive))


def test_what_a_table_was_made_of_is_in_its_lineage(workspace: Workspace) -> None:
    source = declared(ROWS)
    made_of = ingest(workspace, source)

    @table
    def derived() -> pl.LazyFrame:
        return source.read().select("id")

    with reads.filled([]) as outer:
        made = ingest(workspace, derived, run_id="ab12")
    origin = node("flights", "flights", made_of.version)
    assert outer == [origin]
    with workspace.ledger.read() as tx:
        links = lineage.trace(tx, node("flights", "derived", made.version))
    assert {(link.source, link.role) for link in links} == {(origin, "source"), ("run:ab12", "output")}
    assert made.run_id == "ab12"


def test_tables_come_after_those_that_their_checks_look_into() -> None:
    def named(name: str, *others: str) -> Table:
        def made() -> Any: ...

        made.__name__ = name
        return table(checks=[references("x", other) for other in others])(made)

    tables = [named("a", "b", "a"), named("b", "c"), named("c"), named("d", "e"), named("e", "d")]
    assert [one.name for one in in_order(tables)] == ["c", "b", "a", "d", "e"]
