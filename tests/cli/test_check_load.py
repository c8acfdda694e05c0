"""`slipway check-load` and `slipway replay` as text and exit codes."""

from datetime import UTC, datetime

import msgspec

from slipway.cli.check_load import _load_text, _replay_text
from slipway.operations.load import CheckedLoad, Replayed
from slipway.records.gates import Outcome
from slipway.records.load import Comparison, LoadReport, MeasuredOn, Replay
from slipway.records.people import Actor

REPORT = LoadReport(
    id="1", project="p", name="delays", created_at=datetime(2026, 1, 1, tzinfo=UTC), parent_id="b" * 64, number=3,
    machine=MeasuredOn(id="m", name="laptop", processor="", cores=4, system="linux-x86_64", python="3.11"),
    rate=200, rows=1, seconds=5, workers=2, sent=1000, failed=0, p50_ms=2.0, p95_ms=9.5, p99_ms=31.0, slowest_ms=40.0,
    late_ms=0.4, throughput=812.5, cpu_ms=1.25, pss_bytes=240_000_000, rss_bytes=410_000_000, bundle_bytes=1_500_000,
    ready_s=2.5, load_before=0.7, actor=Actor("ada"),
)  # fmt: skip


def test_figures_and_needs_are_told() -> None:
    need = Outcome(check="95 of 100 answers take at most 50 ms", result="passed", found="9.5 ms")
    text = _load_text(CheckedLoad(report=REPORT, outcomes=(need,), holds=True))
    assert text.startswith("holds: delays 3 at 200 requests a second\n")
    for told in ("1,000 of 1 rows in 5 s, 0 not answered", "p95 9.5 ms", "812.5 requests a second, 2 workers",
                 "1.25 ms a request", "240 MB (PSS), 410 MB (RSS)", "1.5 MB, bbbbbbbbbbbb", "laptop: 4 cores, linux-x86_64",
                 "95 of 100 answers take at most 50 ms  passed  9.5 ms"):  # fmt: skip
        assert told in text


def test_without_a_need_it_says_how_to_declare_one_and_what_is_unknown_is_left_out() -> None:
    bare = msgspec.structs.replace(
        REPORT, p50_ms=None, p95_ms=None, p99_ms=None, cpu_ms=None, pss_bytes=0, rss_bytes=0, load_before=None,
        failed=1000, failure="503: busy",
    )  # fmt: skip
    text = _load_text(CheckedLoad(report=bare, outcomes=(), holds=False))
    assert text.startswith("does not hold")
    assert "sw.load(rate=200, p95_ms=50)" in text
    assert "503: busy" in text
    assert not any(name in text for name in ("latency", "CPU", "PSS", "load before"))


def test_a_replay_lists_the_columns_that_differ() -> None:
    columns = (
        Comparison(column="hour", compared=9),
        Comparison(column="wind", compared=9, differing=2, first="wind is 1.0 in the training set and 2.0"),
    )
    found = Replay(verdict="differs", sentence="wind is another", rows=9, of=90, columns=columns, seconds=3.25)
    text = _replay_text(Replayed(model="delays", number=3, bundle="b", replay=found))
    assert text.startswith("differs: wind is another\n")
    assert "wind           9       2  wind is 1.0" in text
    assert "hour" not in text
    assert text.endswith("delays 3, 9 of 90 rows, 3.2 s")
