"""Each benchmark runs, at sizes where its figures mean nothing, and writes rows that the page can show."""

import importlib
from shutil import which
from typing import Any

import pytest
from benchmarks.__main__ import NAMES, section
from benchmarks.pairs import Compared, compare

import postgres_here
import redis_here
import s3_here
from benchmarks import first_minutes, pipelines_peers, serving_sides

SMALL: dict[str, dict[str, Any]] = {
    "step_overhead": {"steps": 2, "rounds": 1},
    "point_in_time_join": {"sizes": (300,), "pairs": 1, "repeats": 1},
    "materialise": {"rows": 300, "pairs": 1},
    "training_batches": {"rows": 300},
    "online_lookup": {"entities": 120, "events": 300, "pairs": 1, "calls": 3},
    "scalar_features": {"calls": 5, "rows": 300, "pairs": 1},
    "table_versions": {"megabytes": 1, "pairs": 1},
    "table_checks": {"rows": 300, "pairs": 1},
    "metric_ingest": {"points": 3000, "charted": 6000, "batch": 1000, "pairs": 1},
    "run_search": {"runs": 60, "searches": 2, "pairs": 1},
    "run_logging": {"calls": 20, "pairs": 2},
    "late_labels": {"predictions": 4000, "labels": 1000},
    "estimated_performance": {"windows": 2, "rows": 300, "references": (400,), "models": 1, "beside": 0},
    "drift_report": {"rows": 3000, "pairs": 1, "peers": False},
    "ledger": {"calls": 5, "batch": 10, "runs": 1, "pairs": 2},
}
WITH_PROCESSES: dict[str, dict[str, Any]] = {
    "larger_than_memory": {"copies": 2, "rows": 30_000},
    "one_row_prediction": {"rounds": 1, "requests": {2: 4}},
    "compiled_models": {"pairs": 1, "times": {1: 2, 100: 1}},
    "pages": {"runs": 30, "metrics": 5, "large": 60, "compared": 8, "requests": 2},
    "start_up": {"pairs": 1},
    "injected_faults": {"names": ("scores are no numbers", "nobody asks")},
    "serving_promises": {"swaps": 2, "rate": 50, "calls": 10, "bulk": 2000},
    "many_endpoints": {
        "endpoints": 1,
        "versions": 1,
        "asked": 1,
        "rest_s": 0.1,
        "workers": 1,
        "pages": 1,
        "commands": 1,
    },
}


def run_small(name: str, sizes: dict[str, Any]) -> None:
    rows = importlib.import_module(f"benchmarks.{name}").run(**sizes)
    assert rows
    for row in (row for row in rows if "what" in row):
        assert row["path"] == rows[0]["path"]
        assert row["slipway"] > 0
        assert (row["raw"] is None) == (row["ratio"] is None)


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
def test_runs_small(name: str) -> None:
    run_small(name, SMALL[name])


WATCHED = {"days": 3, "rows_a_day": 48, "events": 20}


@pytest.mark.full
@pytest.mark.skipif(which("chromium") is None, reason="needs a browser: apt-get install chromium")
@pytest.mark.long
def test_first_paint_runs_small() -> None:
    pytest.importorskip("playwright.sync_api", reason="needs playwright: make test-all installs it")
    run_small("first_paint", {"runs": 12, "metrics": 3, "large": 60, "compared": 4, "pairs": 1} | WATCHED)


@pytest.mark.full
def test_redis_runs_small() -> None:
    with redis_here.client():
        run_small("online_redis", {"entities": 120, "events": 300, "pairs": 1, "calls": 3, "rows": 300})


@pytest.mark.full
def test_object_blobs_run_small(monkeypatch: pytest.MonkeyPatch) -> None:
    if not s3_here.SERVER.exists():
        pytest.skip("needs a server that speaks S3: make .venv/stamps/s3")
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "")  # it is set by the benchmark, and as it was afterwards
    run_small("object_blobs", {"sizes": {"1 KB": (1_000, 1)}, "pairs": 1})


@pytest.mark.full
def test_postgres_runs_small() -> None:
    with postgres_here.connection():
        run_small("ledger_postgres", {"runs": 60, "writes": 3, "searches": 2, "pairs": 1})


@pytest.mark.full
@pytest.mark.parametrize("name", WITH_PROCESSES)
@pytest.mark.long
def test_runs_small_with_processes(name: str) -> None:
    run_small(name, WITH_PROCESSES[name])


@pytest.mark.full
def test_pipelines_beside_their_peers_run_small() -> None:
    if not pipelines_peers._PYTHON.exists():
        pytest.skip("needs the peers: make .venv/stamps/peers")
    run_small("pipelines_peers", {"steps": 3, "pairs": 1})
    run_small("search_trials", {"trials": 4, "pairs": 1})


@pytest.mark.full
def test_serving_beside_its_peers_runs_small() -> None:
    if not serving_sides.PYTHON.exists():
        pytest.skip("needs the peers: make .venv/stamps/serving-peers")
    sizes = {"rounds": 1, "seconds": 0.1, "cells": ((1, 2),), "models": ("logistic regression",), "starts": 1}
    run_small("serving_peers", sizes)


@pytest.mark.full
@pytest.mark.long
def test_the_first_minutes_beside_mlflow_run_small() -> None:
    if not first_minutes.PYTHON.exists():
        pytest.skip("needs MLflow: make .venv/stamps/mlflow3")
    run_small("first_minutes", {"pairs": 1})


BY_ITSELF = {
    "soak", "first_paint", "online_redis", "object_blobs", "ledger_postgres", "rollout_decisions", "rollout_faults", "drift_verdicts", "drift_watch",
}  # fmt: skip
BESIDE_ANOTHER = {"mlflow_server", "first_minutes", "pipelines_peers", "search_trials", "serving_peers"}
"""Of another environment; MLflow's server is not run small: it takes a minute to start."""


def test_no_path_is_left_out() -> None:
    assert set(NAMES) == SMALL.keys() | WITH_PROCESSES.keys() | BY_ITSELF | BESIDE_ANOTHER


def test_sides_take_turns_and_the_ratio_is_that_of_the_turns() -> None:
    asked: list[str] = []
    figures = {"raw": iter([1.0, 10.0, 2.0]), "slipway": iter([2.0, 10.0, 8.0])}

    def side(name: str) -> float:
        asked.append(name)
        return next(figures[name])

    found = compare(lambda: side("raw"), lambda: side("slipway"), 3)
    assert asked == ["raw", "slipway", "slipway", "raw", "raw", "slipway"]
    assert found == Compared(raw=2.0, slipway=8.0, ratio=2.0)


def test_a_missed_goal_is_said() -> None:
    rows: list[dict[str, Any]] = [
        {"path": "ledger", "what": "a", "raw": 1.0, "slipway": 1.2, "ratio": 1.2, "goal_ratio": 1.15},
        {"path": "ledger", "what": "b", "raw": 1.0, "slipway": 3.0, "ratio": 3.0, "goal": 3.0},
        {"path": "ledger", "what": "c", "raw": None, "slipway": 1234.5, "ratio": None},
    ]
    rows.append({"beside": "| more | than two |"})
    page = section(importlib.import_module("benchmarks.ledger"), rows)
    assert "\n\n| more | than two |\n" in page
    assert "| a | 1 | 1.20 | 1.20x | at most 1.15x: **missed** |" in page
    assert "| b | 1 | 3 | 3x | at most 3: met |" in page
    assert "| c |  | 1,234 |  |  |" in page
