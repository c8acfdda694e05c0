"""What every source of tables must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway.errors import InvalidInput, SlipwayError
from slipway.ports.source import Ask, Reading, Source

__all__ = ["ROWS", "SourceSuite"]

ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "a", "amount": 1.5, "seen": 10},
    {"id": 2, "name": None, "amount": 2.5, "seen": 20},
    {"id": 3, "name": 'c, "quoted"', "amount": -0.25, "seen": 20},
    {"id": 4, "name": "é", "amount": 1e6, "seen": 30},
]


def _refusal(source: Source, ask: Ask, scratch: Path) -> SlipwayError:
    try:
        got = source.read(ask, scratch)
        if got is not None:
            got.rows.collect()
    except SlipwayError as problem:
        return problem
    raise AssertionError("an error in words was expected")


class SourceSuite:
    """Override `make`, `lose` and `cut`; each test has a folder of its own."""

    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        """A source that holds exactly these rows; made again in the same folder it is the same one with other rows."""
        raise NotImplementedError

    def lose(self, folder: Path) -> None:
        """Let what was made vanish."""
        raise NotImplementedError

    def cut(self, folder: Path) -> None:
        """Leave half of the bytes of what was made."""
        raise NotImplementedError

    def read(self, folder: Path, source: Source, ask: Ask | None = None) -> Reading:
        got = source.read(ask or Ask(), self.scratch(folder))
        assert got is not None
        return got

    def scratch(self, folder: Path) -> Path:
        made = folder / f"scratch{len(list(folder.glob('scratch*')))}"
        made.mkdir(parents=True)
        return made

    def test_rows_come_as_they_are(self, tmp_path: Path) -> None:
        got = self.read(tmp_path, self.make(tmp_path, ROWS))
        assert got.rows.collect().sort("id").to_dicts() == ROWS
        assert got.digest
        got.check()

    def test_reading_twice_gives_the_same(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, ROWS)
        first, second = (self.read(tmp_path, source, Ask(order=("id",))) for _ in range(2))
        assert first.rows.collect().equals(second.rows.collect())
        assert first.rows.collect().equals(first.rows.collect())
        assert (first.digest, first.marker) == (second.digest, second.marker)

    def test_other_rows_have_another_digest(self, tmp_path: Path) -> None:
        first = self.read(tmp_path, self.make(tmp_path, ROWS))
        second = self.read(tmp_path, self.make(tmp_path, [*ROWS[:3], {**ROWS[3], "amount": 2e6}]))
        assert first.digest != second.digest

    def test_the_watermark_is_a_lower_bound_that_counts(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, ROWS)
        for since, ids in ((None, [1, 2, 3, 4]), (10, [1, 2, 3, 4]), (20, [2, 3, 4]), (30, [4]), (31, [])):
            got = self.read(tmp_path, source, Ask(column="seen", since=since)).rows.collect()
            assert sorted(got["id"].to_list() if got.width else []) == ids

    def test_what_is_new_is_read_the_next_time(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, ROWS)
        marker = self.read(tmp_path, source).marker
        late = {"id": 5, "name": "e", "amount": 0.0, "seen": 30}
        source = self.make(tmp_path, [*ROWS, late])
        got = self.read(tmp_path, source, Ask(column="seen", since=30, marker=marker))
        assert sorted(got.rows.collect()["id"].to_list()) == [4, 5]

    def test_what_has_not_changed_need_not_be_read(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, ROWS)
        marker = self.read(tmp_path, source).marker
        if marker:
            assert source.read(Ask(marker=marker), self.scratch(tmp_path)) is None

    def test_no_rows_are_no_error(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [])
        assert self.read(tmp_path, source).rows.collect().height == 0
        assert self.read(tmp_path, source, Ask(column="seen", since=None)).rows.collect().height == 0

    def test_a_watermark_that_is_no_column_is_refused_in_words(self, tmp_path: Path) -> None:
        problem = _refusal(self.make(tmp_path, ROWS), Ask(column="sen"), self.scratch(tmp_path))
        assert isinstance(problem, InvalidInput)
        assert "'sen'" in str(problem)
        assert "'seen'" in str(problem)

    def test_what_has_vanished_is_an_error_in_words(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, ROWS)
        self.lose(tmp_path)
        problem = _refusal(source, Ask(), self.scratch(tmp_path))
        assert problem.why or problem.fix

    def test_what_was_cut_off_is_an_error_and_never_fewer_rows(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, ROWS * 2000)
        self.cut(tmp_path)
        problem = _refusal(source, Ask(), self.scratch(tmp_path))
        assert problem.why or problem.fix
