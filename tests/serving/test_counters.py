from pathlib import Path

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
