"""What every custom trigger must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.ports.trigger import LONGEST

__all__ = ["TriggerSuite"]

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class TriggerSuite:
    """Override `make`, `happen` and `lose`; each test has a folder of its own."""

    def make(self, folder: Path, now: datetime) -> str:
        """Ask the plug-in at a time, with options that lead it into the folder."""
        raise NotImplementedError

    def happen(self, folder: Path, number: int) -> None:
        """Let something happen, each number something else."""
        raise NotImplementedError

    def lose(self, folder: Path) -> bool:
        """Let nobody answer where it looks; says whether that can be told from nothing having happened."""
        raise NotImplementedError

    def test_nothing_has_happened_at_first(self, tmp_path: Path) -> None:
        assert self.make(tmp_path, _NOW) == ""

    def test_what_happened_has_one_name_however_often_it_is_asked(self, tmp_path: Path) -> None:
        self.happen(tmp_path, 1)
        name = self.make(tmp_path, _NOW)
        assert name
        assert [self.make(tmp_path, _NOW + timedelta(seconds=seconds)) for seconds in (0, 5, 90)] == [name] * 3

    def test_what_happens_next_has_another_name(self, tmp_path: Path) -> None:
        names = []
        for number in range(1, 5):
            self.happen(tmp_path, number)
            names.append(self.make(tmp_path, _NOW))
        assert len(set(names)) == len(names)

    def test_a_name_is_one_line_and_short(self, tmp_path: Path) -> None:
        self.happen(tmp_path, 1)
        name = self.make(tmp_path, _NOW)
        assert name.isprintable()
        assert name == name.strip()
        assert len(name) <= LONGEST

    def test_a_far_side_that_is_away_is_an_error_in_words_and_nothing_new(self, tmp_path: Path) -> None:
        self.happen(tmp_path, 1)
        name = self.make(tmp_path, _NOW)
        can_tell = self.lose(tmp_path)
        try:
            assert self.make(tmp_path, _NOW) in ("", name)
        except SlipwayError as problem:
            assert problem.why or problem.fix  # noqa: PT017  # a suite stands without pytest
        else:
            assert not can_tell
