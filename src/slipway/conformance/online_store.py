"""What every online store must do.

A window's state has seven parts a column. Besides sums, least, greatest and last, a column may ask for *groups*
(`StreamColumn.groups`): how many values there are of each ("value"), or how many and their exact sum in each step of
time ("time"). Approximate distinct counts, quantiles and decayed means are folded from these.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.errors import Conflict, NotFound
from slipway.ports.online_store import Asked, OnlineStore, ViewsAsked, WindowsAsked, precedence
from slipway.records.features import ColumnState, EventRow, StoredView, Stream, StreamColumn, ViewRow, WindowState

__all__ = ["STREAM", "TIMED", "TIMELESS", "OnlineStoreSuite", "check_states", "events_of"]

STREAM = Stream(
    name="flights_by_origin",
    columns=(
        StreamColumn(name="delay", scale=1024, integer=False, squares=True, extremes=True, last=True),
        StreamColumn(name="seats", scale=1, integer=True),
        StreamColumn(name="carrier", coding="register", bits=12, type="string", groups="value"),
        StreamColumn(name="speed", scale=1024, groups="time", step_us=5),
    ),
)
_ABSENT = (None,) * (len(STREAM.columns) - 2)
TIMED = StoredView(name="weather", timed=True)
TIMELESS = StoredView(name="planes", timed=False)


def events_of(seed: int, count: int) -> list[EventRow]:
    """Random events with values up to 64 bits, some of them of one key, time and id."""
    made = random.Random(seed)
    values = [None, 0, 1, -3, 2**40, 2**63 - 1, -(2**63)]
    return [
        EventRow(
            made.choice(["EWR", "JFK", "a|b", "", "é"]),
            made.randrange(-8, 12),
            str(made.randrange(0, count)),
            tuple(made.choice(values) for _ in STREAM.columns),
        )
        for _ in range(count)
    ]


def _expected(rows: Iterable[EventRow], key: str, at_us: int, width_us: int) -> WindowState:
    """A window's state by looking at every event."""
    kept: dict[tuple[int, str], EventRow] = {}
    for row in rows:
        if row.key == key and at_us - width_us < row.time_us <= at_us:
            place = (row.time_us, row.event_id)
            if place not in kept or precedence(row.values) > precedence(kept[place].values):
                kept[place] = row
    columns: list[ColumnState] = []
    for index, column in enumerate(STREAM.columns):
        values = [v for place in sorted(kept) if (v := kept[place].values[index]) is not None]
        columns.append(
            (
                len(values),
                sum(values),
                sum(v * v for v in values) if column.squares else 0,
                min(values, default=None) if column.extremes else None,
                max(values, default=None) if column.extremes else None,
                values[-1] if values and column.last else None,
                _groups(column, [(row.time_us, v) for row in kept.values() if (v := row.values[index]) is not None]),
            )
        )
    return WindowState(len(kept), tuple(columns))


def _groups(column: StreamColumn, values: list[tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    found: dict[int, list[int]] = {}
    for time_us, value in values if column.groups else []:
        found.setdefault(value if column.groups == "value" else time_us // column.step_us, []).append(value)
    return tuple((group, len(found[group]), sum(found[group])) for group in sorted(found))


def check_states(store: OnlineStore, rows: list[EventRow]) -> None:
    """Check windows at several times against a look at every event."""
    keys, widths = ["EWR", "JFK", "a|b", "", "é", "nowhere"], [1, 3, 100]
    for at_us in (-9, -5, 0, 4, 11, 50):
        expected = [[_expected(rows, key, at_us, width) for width in widths] for key in keys]
        assert store.window_states(STREAM.name, keys, at_us, widths) == expected


class OnlineStoreSuite:
    """The tests; a subclass says how its store is opened."""

    def make(self, folder: Path) -> OnlineStore:
        """Open the store that lives in a folder; called again it opens the same one, as another process would."""
        raise NotImplementedError

    def _opened(self, folder: Path) -> OnlineStore:
        store = self.make(folder)
        store.define([STREAM], [TIMED, TIMELESS])
        return store

    def test_windows_are_the_difference_of_exact_states(self, tmp_path: Path) -> None:
        """Sums, squares, least, greatest and last are exact, beyond 64 bits too."""
        store = self._opened(tmp_path)
        rows = events_of(1, 80)
        store.push_events(STREAM.name, rows)
        check_states(store, rows)
        store.close()

    def test_order_batches_and_repetition_do_not_matter(self, tmp_path: Path) -> None:
        """Late, shuffled and repeated events give the state that one sorted batch gives."""
        store = self._opened(tmp_path)
        rows = events_of(2, 60)
        made = random.Random(3)
        pushed: list[EventRow] = []
        for _ in range(12):
            batch = made.sample(rows, 9)
            pushed += batch
            store.push_events(STREAM.name, batch)
            check_states(store, pushed)
        store.close()

    def test_windows_of_many_events(self, tmp_path: Path) -> None:
        """Hours of events, some late, corrected or pushed again, some before the epoch; then all up to a time replaced."""
        store = self._opened(tmp_path)
        made, hour = random.Random(11), 3600 * 10**6
        rows = [
            EventRow(
                made.choice(["EWR", "JFK"]),
                made.randrange(-20 * hour, 40 * hour),
                str(number),
                (made.randrange(9), None, made.choice([None, *range(40)]), made.choice([None, 7, -(2**63), 2**63 - 1])),
            )
            for number in range(3000)
        ]
        again = [row._replace(values=(9, *row.values[1:])) for row in made.sample(rows, 200)]
        for start in range(0, 3200, 400):
            store.push_events(STREAM.name, [*rows, *again][start : start + 400])
        self._check_hours(store, [*rows, *again], hour)
        since = [row for row in rows if row.time_us <= 5 * hour][::3]
        store.push_events(STREAM.name, since, replacing_until_us=5 * hour)
        self._check_hours(store, [*since, *(row for row in [*rows, *again] if row.time_us > 5 * hour)], hour)
        store.close()

    def _check_hours(self, store: OnlineStore, rows: list[EventRow], hour: int) -> None:
        widths = [hour // 2, 12 * hour, 50 * hour]
        for at_us in (-1, 0, 10 * hour, 33 * hour + 7_654_321):
            expected = [[_expected(rows, key, at_us, width) for width in widths] for key in ("EWR", "JFK")]
            assert store.window_states(STREAM.name, ["EWR", "JFK"], at_us, widths) == expected

    def test_a_known_event_changes_nothing(self, tmp_path: Path) -> None:
        """The second push of the same events reports no change; greater values for one of them do."""
        store = self._opened(tmp_path)
        rows = [EventRow("EWR", time, "1", (time, None, *_ABSENT)) for time in range(5)]
        assert store.push_events(STREAM.name, rows) == 5
        assert store.push_events(STREAM.name, reversed(rows)) == 0
        assert (
            store.push_events(
                STREAM.name, [EventRow("EWR", 3, "1", (2, 9, *_ABSENT)), EventRow("EWR", 2, "1", (2, 0, *_ABSENT))]
            )
            == 1
        )
        assert store.push_events(STREAM.name, []) == 0
        ((state,),) = store.window_states(STREAM.name, ["EWR"], 9, [100])
        assert state.columns[0][:2] == (5, 10)
        assert state.columns[1][:2] == (1, 0)
        store.close()

    def test_views_give_the_latest_known_row(self, tmp_path: Path) -> None:
        """As of a time, both included; of two at one time the greater values stay, in any order."""
        store = self._opened(tmp_path)
        store.put_rows(TIMED.name, [ViewRow("EWR", 10, (1.5, "b", None)), ViewRow("EWR", 20, (None, "x", True))])
        store.put_rows(TIMED.name, [ViewRow("EWR", 10, (None, "z", 1)), ViewRow("EWR", 10, (1.5, "c", None))])
        store.put_rows(TIMED.name, [ViewRow("JFK", 5, (float("inf"), "", 2**62))])
        found = store.view_rows((TIMED.name,), ["EWR", "JFK", "LGA"], 9)
        assert found == [[None], [(5, (float("inf"), "", 2**62))], [None]]
        assert store.view_rows((TIMED.name,), ["EWR"], 10) == [[(10, (1.5, "c", None))]]
        assert store.view_rows((TIMED.name,), ["EWR"], 25) == [[(20, (None, "x", True))]]
        store.close()

    def test_several_views_are_asked_at_once(self, tmp_path: Path) -> None:
        """One answer a key and view, in the order of the question; what one view does not know moves no other."""
        store = self._opened(tmp_path)
        store.put_rows(TIMED.name, [ViewRow("A", 10, (1,)), ViewRow("A", 20, (2,)), ViewRow("B", 5, (3,))])
        store.put_rows(TIMELESS.name, [ViewRow("A", 0, (4,)), ViewRow("C", 0, (5,))])
        both = (TIMELESS.name, TIMED.name)
        assert store.view_rows(both, ["C", "A", "B", "D"], 10) == [
            [(0, (5,)), None],
            [(0, (4,)), (10, (1,))],
            [None, (5, (3,))],
            [None, None],
        ]
        assert store.view_rows(both[::-1], ["A"], 25) == [[(20, (2,)), (0, (4,))]]
        assert store.view_rows(both, [], 25) == []
        store.close()

    def test_views_without_time_keep_the_later_put(self, tmp_path: Path) -> None:
        """An entity has one row, which a later put replaces; it is known at any time."""
        store = self._opened(tmp_path)
        store.put_rows(TIMELESS.name, [ViewRow("N1", 0, (2004, "Boeing")), ViewRow("N2", 0, (1, ""))])
        store.put_rows(TIMELESS.name, [ViewRow("N1", 0, (1999, None))])
        assert store.view_rows((TIMELESS.name,), ["N1", "N2"], 10**15) == [[(0, (1999, None))], [(0, (1, ""))]]
        store.close()

    def test_what_was_acknowledged_is_seen_elsewhere(self, tmp_path: Path) -> None:
        """Another process sees definitions, events, rows and marks as soon as they are acknowledged."""
        one = self._opened(tmp_path)
        other = self.make(tmp_path)
        assert other.mark("load") == ""
        rows = events_of(4, 20)
        one.push_events(STREAM.name, rows)
        one.set_mark("load", "2013-04-01")
        check_states(other, rows)
        assert other.mark("load") == "2013-04-01"
        one.close()
        one.close()
        other.close()

    def test_several_questions_see_one_moment(self, tmp_path: Path) -> None:
        """Windows and views that are asked together never show a push in part, whoever pushes meanwhile."""
        one, other = self._opened(tmp_path), self.make(tmp_path)
        asked: list[Asked] = [
            WindowsAsked(STREAM.name, ["EWR", "JFK"], [1000]),
            ViewsAsked((TIMED.name, TIMELESS.name), ["EWR", "JFK"]),
            WindowsAsked(STREAM.name, ["LGA"], [1000, 1]),
        ]
        nothing = one.look_up(asked, 999)
        assert nothing[1] == [[None, None], [None, None]]
        assert [state.rows for found in (nothing[0], nothing[2]) for states in found for state in states] == [
            0,
            0,
            0,
            0,
        ]
        with ThreadPoolExecutor(1) as pool:
            pushing = pool.submit(self._push_together, other, 40)
            while not pushing.done():
                self._check_one_moment(one, asked)
            pushing.result()
        assert self._check_one_moment(one, asked) == 40
        one.close()
        other.close()

    def _push_together(self, store: OnlineStore, times: int) -> None:
        for time in range(times):
            with store.writing():
                store.push_events(
                    STREAM.name, [EventRow(key, time, "1", (time, 1, *_ABSENT)) for key in ("EWR", "JFK", "LGA")]
                )
                store.put_rows(TIMED.name, [ViewRow("JFK", time, (time + 1,))])
                store.put_rows(TIMELESS.name, [ViewRow("EWR", 0, (time + 1,))])

    def _check_one_moment(self, store: OnlineStore, asked: Sequence[Asked]) -> int:
        by_two, views, by_one = store.look_up(asked, 999)
        seen = [by_two[0][0].rows, by_two[1][0].rows, by_one[0][0].rows]
        seen += [row[1][0] if row else 0 for row in (views[1][0], views[0][1])]
        assert len(set(seen)) == 1, seen
        return int(seen[0])

    def test_what_is_put_together_fails_together(self, tmp_path: Path) -> None:
        """A block that raises leaves nothing of what was put in it; one that ends leaves everything, marks too."""
        store = self._opened(tmp_path)
        rows = [EventRow("EWR", time, "1", (time, None, *_ABSENT)) for time in range(6)]
        try:
            with store.writing():
                store.push_events(STREAM.name, rows)
                store.put_rows(TIMED.name, [ViewRow("EWR", 1, (1,))])
                store.set_mark("load", "half")
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert store.mark("load") == ""
        assert store.view_rows((TIMED.name,), ["EWR"], 9) == [[None]]
        with store.writing():
            assert store.push_events(STREAM.name, rows[2:4]) == 2
            assert store.push_events(STREAM.name, rows[1:5]) == 2
            assert store.push_events(STREAM.name, [rows[5], rows[0]]) == 2
            assert store.push_events(STREAM.name, rows) == 0
            store.put_rows(TIMED.name, [ViewRow("EWR", 2, (2,))])
            store.put_rows(TIMED.name, [ViewRow("EWR", 1, (1,))])
            store.put_rows(TIMED.name, [ViewRow("EWR", 2, (1,))])
            store.set_mark("load", "whole")
            assert store.mark("load") == "whole"
        check_states(store, rows)
        assert store.mark("load") == "whole"
        assert [store.view_rows((TIMED.name,), ["EWR"], at)[0][0] for at in (0, 1, 2)] == [None, (1, (1,)), (2, (2,))]
        store.close()

    def test_a_failed_push_leaves_nothing(self, tmp_path: Path) -> None:
        """A push that raises half-way is not visible in part."""
        store = self._opened(tmp_path)
        broken = [EventRow("EWR", 1, "1", (1, 1, *_ABSENT)), EventRow("EWR", 2, "2", (1,))]
        try:
            store.push_events(STREAM.name, broken)
        except Exception:  # whatever the backend raises for a row of the wrong width
            ((state,),) = store.window_states(STREAM.name, ["EWR"], 9, [100])
            assert state.rows == 0
        else:
            raise AssertionError("a row of the wrong width was taken")
        store.close()

    def test_threads_push_at_once(self, tmp_path: Path) -> None:
        """Pushes from several threads all count."""
        store = self._opened(tmp_path)
        rows = events_of(5, 80)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda start: store.push_events(STREAM.name, rows[start : start + 10]), range(0, 80, 10)))
        check_states(store, rows)
        store.close()

    def test_replacing_forgets_what_was_known_until_then(self, tmp_path: Path) -> None:
        """Rows up to the time give way to the given ones; later ones stay, and their sums are right."""
        store = self._opened(tmp_path)
        rows = events_of(6, 60)
        store.push_events(STREAM.name, rows)
        others = [row for row in events_of(7, 40) if row.time_us <= 6]
        store.push_events(STREAM.name, others, replacing_until_us=6)
        check_states(store, [*others, *(row for row in rows if row.time_us > 6)])
        store.push_events(STREAM.name, [], replacing_until_us=100)
        check_states(store, [])
        store.put_rows(TIMED.name, [ViewRow("EWR", time, (time,)) for time in (1, 2, 3)])
        store.put_rows(TIMED.name, [ViewRow("EWR", 1, (0,))], replacing_until_us=2)
        found = [store.view_rows((TIMED.name,), ["EWR"], at_us)[0][0] for at_us in (1, 2, 3)]
        assert found == [(1, (0,)), (1, (0,)), (3, (3,))]
        store.put_rows(TIMELESS.name, [ViewRow("N1", 0, (1,)), ViewRow("N2", 0, (1,))])
        store.put_rows(TIMELESS.name, [ViewRow("N2", 0, (2,))], replacing_until_us=0)
        assert store.view_rows((TIMELESS.name,), ["N1", "N2"], 9) == [[None], [(0, (2,))]]
        store.close()

    def test_what_is_dropped_is_gone_and_nothing_else(self, tmp_path: Path) -> None:
        """A dropped store is empty, without definitions; another one keeps what it has."""
        other = self.make(tmp_path / "other")
        other.define([STREAM], [])
        other.push_events(STREAM.name, [EventRow("EWR", 1, "1", (1, 2, *_ABSENT))])
        store = self.make(tmp_path / "one")
        store.define([STREAM], [TIMED, TIMELESS])
        store.push_events(STREAM.name, [EventRow("EWR", 1, "1", (1, 2, *_ABSENT))])
        store.put_rows(TIMED.name, [ViewRow("EWR", 1, (1.5,))])
        store.set_mark("weather", "so far")
        store.drop()
        store.drop()
        store.close()
        again = self.make(tmp_path / "one")
        changed = Stream(name=STREAM.name, columns=STREAM.columns[:1])
        again.define([changed], [TIMED])  # no definition is left that it could contradict
        assert again.mark("weather") == ""
        assert again.view_rows((TIMED.name,), ["EWR"], 5) == [[None]]
        assert again.window_states(STREAM.name, ["EWR"], 5, [10])[0][0].rows == 0
        assert other.window_states(STREAM.name, ["EWR"], 5, [10])[0][0].rows == 1
        again.drop()
        again.close()
        other.close()

    def test_definitions_are_kept(self, tmp_path: Path) -> None:
        """Defining again changes nothing; another definition under a name is refused; an unknown name is not found."""
        store = self._opened(tmp_path)
        store.push_events(STREAM.name, [EventRow("EWR", 1, "1", (1, 1, *_ABSENT))])
        store.define([STREAM], [TIMED])
        assert store.window_states(STREAM.name, ["EWR"], 9, [100])[0][0].rows == 1
        for refused, kind in (
            (lambda: store.define([Stream(name=STREAM.name, columns=())], []), Conflict),
            (lambda: store.push_events("unknown", [EventRow("EWR", 1, "1", ())]), NotFound),
            (lambda: store.window_states("unknown", ["EWR"], 1, [1]), NotFound),
            (lambda: store.put_rows("unknown", [ViewRow("EWR", 1, ())]), NotFound),
            (lambda: store.view_rows((TIMED.name, STREAM.name), ["EWR"], 1), NotFound),
        ):
            try:
                refused()
            except kind:
                continue
            raise AssertionError(f"{kind.__name__} was expected")
        store.close()

    def test_a_mark_is_seen_with_what_it_marks(self, tmp_path: Path) -> None:
        """Inside `writing`, rows and the mark that they were put become visible together, or neither does."""
        one, other = self._opened(tmp_path), self.make(tmp_path)
        with one.writing():
            one.push_events(STREAM.name, [EventRow("EWR", 1, "1", (1,) * len(STREAM.columns))])
            one.put_rows(TIMED.name, [ViewRow("EWR", 1, (1,))])
            one.set_mark("load", "first")
            assert other.mark("load") == ""
            assert other.view_rows((TIMED.name,), ["EWR"], 9) == [[None]]
        assert other.mark("load") == "first"
        assert other.view_rows((TIMED.name,), ["EWR"], 9) == [[(1, (1,))]]
        try:
            with one.writing():
                one.put_rows(TIMED.name, [ViewRow("EWR", 2, (2,))])
                one.set_mark("load", "second")
                raise RuntimeError
        except RuntimeError:
            pass
        assert other.mark("load") == "first"
        assert other.view_rows((TIMED.name,), ["EWR"], 9) == [[(1, (1,))]]
        assert one.window_states(STREAM.name, ["EWR"], 9, [100])[0][0].rows == 1
        one.close()
        other.close()
