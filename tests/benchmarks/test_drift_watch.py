"""A shortened version of the simulated traffic: the page's rows are made, and no figure is none."""

import pytest
from benchmarks.__main__ import section

from benchmarks import drift_watch


@pytest.mark.full
@pytest.mark.long
def test_the_simulation_runs_small() -> None:
    rows = drift_watch.run(columns=10, rate=150.0, days=3, seeds=1, shifts=2, weekday_seeds=1)
    assert [row["slipway"] for row in rows][:2] == [0.0, 0.0]
    assert rows[0]["raw"] > rows[1]["raw"] > 0
    assert rows[-1]["slipway"] == 0.0
    assert "drift over time" in section(drift_watch, rows).lower()
