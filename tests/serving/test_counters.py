from pathlib import Path

import pytest

from slipway.serving.counters import EVENTS, ROWS, Counters, request_counter


def test_workers_add_up_whichever_is_asked(tmp_path: Path) -> None:
    one, two = (Counters(tmp_path / "counters", slot) for slot in (0, 1))
    one.add(ROWS, 3)
    two.add(ROWS, 4)
    two.add(EVENTS)
    assert (one.total(ROWS), two.total(ROWS), one.total(EVENTS)) == (7, 7, 1)


def test_a_replaced_worker_goes_on_counting(tmp_path: Path) -> None:
    Counters(tmp_path / "counters", 0).add(ROWS, 3)
    again = Counters(tmp_path / "counters", 0)
    again.add(ROWS)
    assert again.total(ROWS) == 4


def test_the_files_blocks_are_had_before_they_are_touched(tmp_path: Path) -> None:
    Counters(tmp_path / "counters", 0)
    found = (tmp_path / "counters").stat()
    assert found.st_blocks * 512 >= found.st_size > 0


def test_a_file_that_cannot_be_had_is_said_and_counting_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "counters").symlink_to("/dev/full")
    counters = Counters(tmp_path / "counters", 1)
    counters.add(ROWS, 3)
    assert counters.total(ROWS) == 3
    assert "counters cannot be used" in caplog.text


def test_the_latency_histogram_is_cumulative_and_includes_its_bounds() -> None:
    counters = Counters()
    for nanoseconds in (500_000, 500_001, 3_000_000_000):
        counters.observe_ns(nanoseconds)
    text = counters.text("x")
    assert 'slipway_predict_seconds_bucket{endpoint="x",le="0.0005"} 1' in text
    assert 'slipway_predict_seconds_bucket{endpoint="x",le="0.001"} 2' in text
    assert 'slipway_predict_seconds_bucket{endpoint="x",le="2.5"} 2' in text
    assert 'slipway_predict_seconds_bucket{endpoint="x",le="+Inf"} 3' in text
    assert 'slipway_predict_seconds_count{endpoint="x"} 3' in text


def test_a_status_without_its_own_counter_counts_as_500() -> None:
    assert request_counter("predict", 418) == request_counter("predict", 500)
    assert request_counter("predict", 200) != request_counter("labels", 200)
