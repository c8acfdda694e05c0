from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.backends.clocks import SimulatedClock
from slipway.data import judge
from slipway.data.check_run import look
from slipway.data.checks import between, check, matches, not_null, one_of, references, unique
from slipway.data.declare import Table, table
from slipway.data.failing import kept_rows
from slipway.data.profiles import profile_of, stored
from slipway.data.table_checks import fresh, rows, stable
from slipway.data.write import write
from slipway.errors import InvalidDeclaration, InvalidInput, NotFound
from slipway.ids import new_id
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableRefusal, TableVersion
from slipway.tables.catalog import head_ref
from slipway.tables.versions import head, history, read


def declared(*checks: Any, name: str = "flights", **more: Any) -> Table:
    def made() -> Any:
        return None

    made.__name__ = name
    return table(checks=checks, **more)(made)


def result(version: TableVersion, words: str) -> CheckResult:
    return next(found for found in version.checks if words in found.check)


def refusals(workspace: Workspace) -> list[TableRefusal]:
    with workspace.ledger.read() as tx:
        return entries.find(tx, TableRefusal, project="flights", name="flights")


FLIGHTS = pl.DataFrame({"id": [1, 2, 3, 4], "carrier": ["AA", "UA", "XX", None], "distance": [100, -5, 300, 400]})


class TestQuarantine:
    CHECKS = (
        between("distance", 0, 6000, severity="quarantine"),
        one_of("carrier", ["AA", "UA"], severity="quarantine"),
        unique("id"),
    )

    def test_failing_rows_go_aside_and_the_others_are_stored(
        self, workspace: Workspace, clock: SimulatedClock, said: list[str]
    ) -> None:
        made = write(workspace, declared(*self.CHECKS), FLIGHTS, source="a file", run_id="r1")
        assert (made.rows, made.quarantined_rows) == (2, 2)
        assert read(workspace, "flights").collect()["id"].to_list() == [1, 4]
        aside = read(workspace, "quarantine.flights").collect()
        assert aside.columns == [*FLIGHTS.columns, "quarantine_checks", "quarantine_at", "quarantine_from"]
        assert aside.rows() == [
            (2, "UA", -5, "distance is between 0 and 6000", clock.now(), "a file"),
            (3, "XX", 300, "carrier is one of AA, UA", clock.now(), "a file"),
        ]
        found = result(made, "distance")
        assert (found.passed, found.set_aside, found.failed_rows, found.rows) == (False, 1, 0, 2)
        assert "  set aside: 'distance is between 0 and 6000' fails for 1 of 3 rows (33.3 %), for example row 2" in said
        assert head(workspace, "quarantine.flights").run_id == "r1"

    def test_the_same_rows_are_set_aside_once(self, workspace: Workspace, clock: SimulatedClock) -> None:
        write(workspace, declared(*self.CHECKS), FLIGHTS, source="a file")
        clock.advance_to(clock.now() + timedelta(days=1))
        more = pl.concat([FLIGHTS, pl.DataFrame({"id": [5], "carrier": ["AA"], "distance": [-9]})])
        write(workspace, declared(*self.CHECKS), more, source="a file")
        assert read(workspace, "quarantine.flights").collect()["id"].to_list() == [2, 3, 5]

    def test_columns_may_change_meanwhile(self, workspace: Workspace) -> None:
        write(workspace, declared(*self.CHECKS), FLIGHTS)
        write(workspace, declared(*self.CHECKS), FLIGHTS.with_columns(note=pl.lit("late")))
        assert read(workspace, "quarantine.flights").collect()["note"].to_list() == [None, None, "late", "late"]

    def test_other_checks_judge_what_is_left(self, workspace: Workspace) -> None:
        doubled = FLIGHTS.with_columns(id=pl.Series([1, 1, 3, 4]))
        assert write(workspace, declared(*self.CHECKS), doubled).rows == 2

    def test_of_a_repeated_key_no_row_is_better_than_another(self, workspace: Workspace) -> None:
        declaration = declared(unique("id", severity="quarantine"))
        made = write(workspace, declaration, pl.DataFrame({"id": [1, 2, 2]}))
        assert read(workspace, "flights").collect()["id"].to_list() == [1]
        assert made.quarantined_rows == 2

    def test_a_key_that_is_there_already_goes_aside(self, workspace: Workspace) -> None:
        declaration = declared(unique("id", severity="quarantine"))
        write(workspace, declaration, pl.DataFrame({"id": [1, 2]}))
        made = write(workspace, declaration, pl.DataFrame({"id": [2, 3]}), mode="append")
        assert read(workspace, "flights").collect()["id"].to_list() == [1, 2, 3]
        found = result(made, "unique")
        assert (found.set_aside, found.failed_rows, found.rows) == (1, 0, 3)

    def test_a_refused_write_sets_nothing_aside(self, workspace: Workspace) -> None:
        with pytest.raises(InvalidInput, match="'carrier is not null' fails for 1 of 3"):
            write(workspace, declared(*self.CHECKS[:1], not_null("carrier")), FLIGHTS)
        with pytest.raises(NotFound):
            head(workspace, "quarantine.flights")


class TestRefusal:
    def test_why_can_be_read_later(self, workspace: Workspace) -> None:
        with pytest.raises(InvalidInput, match="the table has no version yet"):
            write(workspace, declared(between("distance", 0, 250), unique("id")), FLIGHTS, source="a file")
        (found,) = refusals(workspace)
        assert (found.rows, found.mode, found.source, found.parent) == (4, "overwrite", "a file", "")
        assert [(r.passed, r.failed_rows) for r in found.checks] == [(False, 3), (True, 0)]
        failing = kept_rows(workspace, found.checks[0])
        assert failing is not None
        assert failing.rows() == FLIGHTS[1:].rows()
        with workspace.ledger.read() as tx:
            event = tx.events(after=0, limit=10, subject="table:flights/flights")[-1]
        assert (event.verb, event.body["refusal"]) == ("tables.refuse", found.id)

    def test_failing_rows_of_a_warning_are_kept_up_to_a_number(self, workspace: Workspace) -> None:
        many = pl.DataFrame({"n": range(3000)})
        made = write(workspace, declared(between("n", 0, 10, severity="warn")), many)
        failing = kept_rows(workspace, made.checks[0])
        assert failing is not None
        assert failing["n"].to_list() == list(range(11, 1011))
        assert made.checks[0].failed_rows == 2989

    def test_a_personal_key_names_no_row(self, workspace: Workspace) -> None:
        people = pl.DataFrame({"email": ["a@b.c", "d@e.f"], "age": [200, 3]})
        made = write(
            workspace, declared(between("age", 0, 130, severity="warn"), key="email", personal="email"), people
        )
        assert result(made, "age").sample == ("row 1",)


def whole(checks: Any, frame: pl.DataFrame) -> list[tuple[str, int, int]]:
    found = look(frame, judge.row_checks(declared(*checks)), table="flights")
    return [(r.check, r.failed_rows, r.rows) for r in found.results]


VALUES = st.lists(
    st.tuples(st.none() | st.integers(0, 6), st.none() | st.sampled_from("abc"), st.none() | st.floats(-1, 2)),
    max_size=8,
)


SCHEMA = {"a": pl.Int64, "b": pl.String, "x": pl.Float64}


class TestAppend:
    CHECKS = (
        unique("a", severity="warn"),
        unique("a", "b", severity="warn"),
        not_null("b", severity="warn"),
        between("x", 0, 1, severity="warn"),
        matches("b", "[ab]", severity="warn"),
        check("a is below x", lambda: pl.col("a") < pl.col("x"), severity="warn"),
    )

    @pytest.fixture(autouse=True)
    def _opened(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(parts=st.lists(VALUES, min_size=2, max_size=3))
    def test_results_and_profile_are_those_of_all_rows_at_once(self, parts: list[Any]) -> None:
        workspace = replace(self.workspace, project=new_id())
        frames = [pl.DataFrame(part, schema=SCHEMA, orient="row") for part in parts]
        made = write(workspace, declared(*self.CHECKS), frames[0])
        for part in frames[1:]:
            made = write(workspace, declared(*self.CHECKS), part, mode="append")
        together = pl.concat(frames)
        found = [(r.check, r.failed_rows, r.rows) for r in made.checks]
        assert found == whole(self.CHECKS, together)
        assert stored(workspace, made) == profile_of(together)

    def test_a_key_that_is_there_refuses_an_append(self, workspace: Workspace) -> None:
        declaration = declared(unique("id"))
        first = write(workspace, declaration, FLIGHTS)
        with pytest.raises(InvalidInput, match="'id is unique' fails for 2 of 5 rows"):
            write(workspace, declaration, FLIGHTS[3:], mode="append")
        assert history(workspace, "flights") == (first,)
        (found,) = refusals(workspace)
        failing = kept_rows(workspace, found.checks[0])
        assert failing is not None
        assert failing["id"].to_list() == [4]

    def test_keys_that_are_there_already_are_named(self, workspace: Workspace) -> None:
        declaration = declared(key="id")
        write(workspace, declaration, FLIGHTS)
        made = write(workspace, declaration, FLIGHTS[2:], mode="append")
        assert (made.checks[0].failed_rows, made.checks[0].sample) == (4, ("3", "4"))

    def test_what_was_found_before_is_not_looked_at_again(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        declaration = declared(not_null("carrier", severity="warn"), unique("id"))
        write(workspace, declaration, FLIGHTS)
        looked: list[int] = []

        def counting(frame: Any, checks: Any, **more: Any) -> Any:
            looked.append(frame.lazy().collect().height)
            return look(frame, checks, **more)

        monkeypatch.setattr("slipway.data.judge.look", counting)
        monkeypatch.setattr("slipway.data.joined.look", counting)
        made = write(workspace, declaration, FLIGHTS.with_columns(id=pl.col("id") + 10), mode="append")
        assert looked == [4]
        assert result(made, "not null").failed_rows == 2

    def test_a_new_check_looks_at_everything_once(self, workspace: Workspace) -> None:
        write(workspace, declared(), FLIGHTS)
        made = write(workspace, declared(between("distance", 0, 250, severity="warn")), FLIGHTS, mode="append")
        assert (made.checks[0].failed_rows, made.checks[0].rows) == (6, 8)
        failing = kept_rows(workspace, made.checks[0])
        assert failing is not None
        assert failing.height == 6

    def test_another_writer_in_between_is_built_upon(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        declaration = declared(unique("id"))
        write(workspace, declaration, FLIGHTS)
        real, once = judge.judge_rows, []

        def slow(*args: Any, **more: Any) -> Any:
            found = real(*args, **more)
            if not once:
                once.append(1)
                write(workspace, declaration, FLIGHTS.with_columns(id=pl.col("id") + 10), mode="append")
            return found

        monkeypatch.setattr("slipway.data.write.judge_rows", slow)
        made = write(workspace, declaration, FLIGHTS.with_columns(id=pl.col("id") + 20), mode="append")
        assert (made.number, made.rows, made.checks[0].rows) == (3, 12, 12)


class TestReferences:
    AIRLINES = pl.DataFrame({"code": ["AA", "UA"]})

    def test_values_are_looked_up_in_the_other_table(self, workspace: Workspace) -> None:
        write(workspace, declared(name="airlines"), self.AIRLINES)
        made = write(workspace, declared(references("carrier", "airlines", "code", severity="warn")), FLIGHTS)
        found = made.checks[0]
        assert (found.check, found.failed_rows, found.rows) == ("carrier is among airlines.code", 1, 3)

    def test_what_became_an_orphan_is_found_on_the_next_append(self, workspace: Workspace) -> None:
        declaration = declared(references("carrier", "airlines", "code", severity="warn"))
        write(workspace, declared(name="airlines"), self.AIRLINES)
        write(workspace, declaration, FLIGHTS)
        write(workspace, declared(name="airlines"), pl.DataFrame({"code": ["ZZ"]}), mode="append")
        assert write(workspace, declaration, FLIGHTS[:1], mode="append").checks[0].failed_rows == 1
        write(workspace, declared(name="airlines"), pl.DataFrame({"code": ["AA"]}))
        assert write(workspace, declaration, FLIGHTS[:1], mode="append").checks[0].failed_rows == 2

    def test_a_table_may_refer_to_itself(self, workspace: Workspace) -> None:
        staff = declared(references("boss", "flights", "id"))
        write(workspace, staff, pl.DataFrame({"id": [1, 2], "boss": [None, 1]}))
        write(workspace, staff, pl.DataFrame({"id": [3, 4], "boss": [2, 3]}), mode="append")
        with pytest.raises(InvalidInput, match=r"boss is among flights\.id"):
            write(workspace, staff, pl.DataFrame({"id": [5], "boss": [9]}), mode="append")

    def test_leading_nowhere_is_a_sentence(self, workspace: Workspace) -> None:
        with pytest.raises(
            NotFound, match=r"looks into 'airlines', which has no version.*slipway data ingest airlines"
        ):
            write(workspace, declared(references("carrier", "airlines", "code")), FLIGHTS)
        write(workspace, declared(name="airlines"), self.AIRLINES)
        with pytest.raises(InvalidDeclaration, match=r"'kode', which 'airlines' does not have. Did you mean 'code'"):
            write(workspace, declared(references("carrier", "airlines", "kode")), FLIGHTS)
        with pytest.raises(InvalidDeclaration, match=r"does not fit its column: distance is Int64"):
            write(workspace, declared(references("distance", "airlines", "code")), FLIGHTS)


def refuse_all() -> Any:
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        (refuse_all, "raised ValueError: no such thing"),
        (lambda: True, "returned bool"),
        (lambda: pl.col("distance") * 2, "gives Int64"),
        (lambda: pl.col("distanse") > 0, "'distanse', which is not there.*Did you mean 'distance'"),
        (lambda: pl.col("carrier") > 1, "does not fit its column"),
        (lambda: pl.col("distance") > pl.col("distance").shift(1), "more than one row at a time"),
        (lambda: pl.col("distance") > pl.col("distance").mean(), "more than one row at a time"),
        (lambda: pl.col("distance").sum() > 0, "more than one row at a time"),
    ],
)
def test_an_expression_that_cannot_judge_a_row_is_refused(workspace: Workspace, expression: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        write(workspace, declared(check("it is right", expression)), FLIGHTS)


def test_an_expression_judges_each_row(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="'it flies' fails for 1 of 4 rows"):
        write(workspace, declared(check("it flies", lambda: pl.col("distance") > 0)), FLIGHTS)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: check("", lambda: pl.lit(True)), "does not say what it checks"),
        (lambda: check("x", True), "a function is expected"),  # type: ignore[arg-type]
        (lambda: references("a", "No Table"), "cannot be the name of a table"),
        (lambda: rows(), "asks nothing"),
        (lambda: rows(at_least=3, at_most=2), "lets no table through"),
        (lambda: rows(at_least=-1), "no number of rows"),
        (lambda: rows(shrinks_at_most=float("nan")), "no share"),
        (lambda: rows(at_least=1, severity="quarantine"), "does not fit a check of a whole table"),  # type: ignore[arg-type]
        (lambda: fresh("at", "soon"), "not a duration"),
        (lambda: stable(false_alarms=0), "no chance"),
        (lambda: unique("a", severity="stop"), '"block", "quarantine" or "warn"'),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_declared_is_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises((InvalidDeclaration, InvalidInput), match=sentence):
        make()


class TestWholeTable:
    @pytest.mark.parametrize(
        ("bound", "holds"),
        [
            ({"at_least": 4}, True),
            ({"at_least": 5}, False),
            ({"at_most": 3}, False),
            ({"shrinks_at_most": 0.5}, True),
            ({"shrinks_at_most": 0.49}, False),
        ],
    )
    def test_the_number_of_rows(self, workspace: Workspace, bound: Any, holds: bool) -> None:
        write(workspace, declared(), pl.concat([FLIGHTS, FLIGHTS]))
        made = write(workspace, declared(rows(**bound, severity="warn")), FLIGHTS)
        assert made.checks[0].passed == holds
        assert made.checks[0].note == "4 rows, 8 before."

    def test_growth_is_that_of_the_version_made(self, workspace: Workspace) -> None:
        declaration = declared(rows(grows_at_most=0.5))
        write(workspace, declaration, FLIGHTS)
        write(workspace, declaration, FLIGHTS[:2], mode="append")
        with pytest.raises(InvalidInput, match=r"does not hold: 10 rows, 6 before"):
            write(workspace, declaration, FLIGHTS, mode="append")

    @pytest.mark.parametrize(("hours", "holds"), [(1.9, True), (2.1, False)])
    def test_age_is_of_business_time(
        self, workspace: Workspace, clock: SimulatedClock, hours: float, holds: bool
    ) -> None:
        newest = clock.now() - timedelta(hours=hours)
        frame = pl.DataFrame({"at": [newest, newest - timedelta(days=1), None]})
        made = write(workspace, declared(fresh("at", "2h", severity="warn")), frame)
        assert made.checks[0].passed == holds
        assert "The newest is of 2013-03-31 2" in made.checks[0].note

    def test_a_day_counts_until_its_end_and_old_rows_count_too(self, workspace: Workspace) -> None:
        declaration = declared(fresh("day", "2h"))
        write(workspace, declaration, pl.DataFrame({"day": [date(2013, 3, 31)]}))
        write(workspace, declaration, pl.DataFrame({"day": [date(2012, 1, 1)]}), mode="append")
        with pytest.raises(InvalidInput, match="day has no value"):
            write(workspace, declaration, pl.DataFrame({"day": [None]}, schema={"day": pl.Date}))

    def test_a_wall_time_has_no_age(self, workspace: Workspace) -> None:
        with pytest.raises(InvalidDeclaration, match="replace_time_zone"):
            write(workspace, declared(fresh("at", "2h")), pl.DataFrame({"at": [datetime(2013, 1, 1)]}))

    def test_a_column_that_moved_is_named_with_confidence(self, workspace: Workspace) -> None:
        before = pl.DataFrame({"x": [i % 100 for i in range(2000)], "c": ["a", "b"] * 1000})
        declaration = declared(stable())
        first = write(workspace, declaration, before)
        assert first.checks[0].undecided
        assert first.checks[0].passed
        same = write(workspace, declaration, before.reverse())
        assert same.checks[0].passed
        assert not same.checks[0].undecided
        assert "2 columns as in version 1; a change of" in same.checks[0].note
        moved = write(workspace, declaration, before.with_columns(pl.col("x") + 50), mode="append")
        assert not moved.checks[0].passed
        assert "x: " in moved.checks[0].note
        assert "for certain" in moved.checks[0].note
        assert "false alarms at most 0.01" in moved.checks[0].note

    def test_new_values_and_nulls_are_moves_too(self, workspace: Workspace) -> None:
        before = pl.DataFrame({"c": ["a", "b"] * 1000, "x": [0.5, 1.5] * 1000})
        write(workspace, declared(), before)
        changed = pl.DataFrame({"c": ["a", "z"] * 1000, "x": [0.5, None] * 1000})
        found = write(workspace, declared(stable("c", "x", like="1")), changed).checks[0]
        assert "c: 50.0% of the values were never seen in version 1" in found.note
        assert "x: 50.0% more or fewer are missing than in version 1" in found.note

    def test_few_rows_tell_nothing(self, workspace: Workspace) -> None:
        write(workspace, declared(), FLIGHTS)
        found = write(workspace, declared(stable("distance", severity="block")), FLIGHTS[:3])
        assert found.checks[0].undecided
        assert "3 rows are too few, 200 are needed" in found.checks[0].note

    def test_what_cannot_be_compared_is_a_sentence(self, workspace: Workspace) -> None:
        write(workspace, declared(), FLIGHTS.with_columns(at=datetime(2013, 1, 1, tzinfo=UTC)))
        with pytest.raises(InvalidDeclaration, match="'at', which holds instants"):
            write(workspace, declared(stable("at")), FLIGHTS.with_columns(at=datetime(2013, 1, 1, tzinfo=UTC)))
        with pytest.raises(NotFound, match="the version '9', which is none"):
            write(workspace, declared(stable("id", like="9")), FLIGHTS)
        with pytest.raises(InvalidDeclaration, match="'distanze', which is not there"):
            write(workspace, declared(stable("distanze")), FLIGHTS)


class TestLazy:
    def test_a_lazy_frame_with_a_broken_column_is_refused(self, workspace: Workspace) -> None:
        with pytest.raises(InvalidInput, match="'distance is between 0 and 6000' fails for 1 of 4 rows"):
            write(workspace, declared(between("distance", 0, 6000)), FLIGHTS.lazy())
        with pytest.raises(NotFound):
            head(workspace, "flights")

    @pytest.mark.parametrize("lazily", [True, False])
    def test_what_does_not_fit_into_memory_is_looked_at_on_disk(self, workspace: Workspace, lazily: bool) -> None:
        frames = [FLIGHTS.with_columns(id=pl.col("id") + 10 * number) for number in range(3)]
        checks = (unique("id"), between("distance", 0, 6000, severity="quarantine"))
        given: Any = pl.concat(frames).lazy() if lazily else iter(frames)
        made = write(workspace, declared(*checks), given)
        assert (made.rows, made.quarantined_rows) == (9, 3)
        assert stored(workspace, made) == profile_of(read(workspace, "flights"))
        again = write(
            workspace, declared(*checks), (frame.with_columns(pl.col("id") + 100) for frame in frames), mode="append"
        )
        assert (again.rows, again.quarantined_rows, again.checks[0].rows) == (18, 3, 18)


class TestUpsert:
    @settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(first=VALUES, second=VALUES, newest=st.booleans())
    def test_results_and_profile_are_those_of_the_version_made(
        self, first: list[Any], second: list[Any], newest: bool
    ) -> None:
        workspace = replace(self.workspace, project=new_id())
        one, other = (self.keyed(rows) for rows in (first, second))
        declaration = declared(*TestAppend.CHECKS, key="id", time="at")
        write(workspace, declaration, one)
        made = write(workspace, declaration, other, mode="upsert", newest_wins=newest)
        together = read(workspace, "flights").collect()
        found = look(together, judge.row_checks(declaration), table="flights")
        assert [(r.check, r.failed_rows) for r in made.checks] == [(r.check, r.failed_rows) for r in found.results]
        assert stored(workspace, made) == profile_of(together)

    @pytest.fixture(autouse=True)
    def _opened(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @staticmethod
    def keyed(rows: list[Any]) -> pl.DataFrame:
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        days = pl.col("a").fill_null(0).cast(pl.Int64) * 86_400_000_000
        return frame.with_row_index("id").with_columns(at=days.cast(pl.Datetime("us", "UTC")))


def test_a_branch_is_judged_beside_itself(workspace: Workspace) -> None:
    declaration = declared(rows(grows_at_most=0.5))
    write(workspace, declaration, FLIGHTS)
    with workspace.ledger.write() as tx:
        tx.set_ref("flights", *head_ref("flights", "trial"), head(workspace, "flights").version, expect=None)
    made = write(workspace, declaration, FLIGHTS[:2], mode="append", branch="trial")
    assert (made.rows, head(workspace, "flights").rows) == (6, 4)
