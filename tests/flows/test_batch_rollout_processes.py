"""A roll-out of a batch endpoint as it is typed: by processes, in a pool, killed in the middle of a canary's scoring."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from typing import Any

import msgspec
import polars as pl
import pytest
from scoring_desk import INTO, NIGHTLY, ROWS, logged, nightly, scored, scores
from small_desk import BETTER, FIRST, Desk

from slipway.flows.endpoints import folder_of
from slipway.flows.rollout_words import abort
from slipway.flows.score import get_scoring, list_scorings, task_folder
from slipway.hosts.executors import placement
from slipway.operations.rollouts import Abort
from slipway.operations.scorings import GetScoring, ListScorings
from slipway.ports.runner import LOCK_FILE
from slipway.records.predictions import ShadowRow
from slipway.rollout.declare import Canary
from slipway.serving.arms import share_of
from slipway.tables import versions
from slipway.tables.log_rows import read_rows

pytestmark = pytest.mark.full

DECLARED = f'''

nightly = sw.BatchEndpoint(
    "{NIGHTLY}", pipeline=release, features=features, gate=sw.Gate(sw.metric("auc") >= 0.5), key="flight_id",
    table=flights, into="{INTO}", time="asked_at", batch_rows=200, workers=2,
    rollout=[sw.Canary(steps=[50, 100], margin=0.1)],
)
'''


def typed(desk: Desk, *words: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "slipway", *words, "-C", str(desk.project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr * bool(code)


def newest(desk: Desk) -> Any:
    return get_scoring(desk.workspace, GetScoring(name=NIGHTLY))


def killed_in_the_middle(desk: Desk) -> int:
    """Kill the process group of the scoring under way once three parts are done; gives how many there were."""
    until = time.monotonic() + 120
    while newest(desk).parts_done < 3 and time.monotonic() < until:
        time.sleep(0.01)
    found = newest(desk)
    os.killpg(int((task_folder(desk.workspace, found.scoring) / LOCK_FILE).read_text()), signal.SIGKILL)
    while newest(desk).is_alive and time.monotonic() < until:
        time.sleep(0.01)
    return int(found.parts_done)


def test_from_deploy_to_promotion_over_a_kill(desk: Desk) -> None:
    module = desk.project.folder / "small_delays.py"
    module.write_text(module.read_text() + DECLARED)
    typed(desk, "deploy", "small-delays", "--version", str(FIRST), "--endpoint", NIGHTLY)
    typed(desk, "score", NIGHTLY)
    assert set(scores(desk)["version"]) == {FIRST}
    would = typed(desk, "deploy", "small-delays", "--version", str(BETTER), "--endpoint", NIGHTLY, "--dry-run")
    assert "The declared roll-out begins canary at 50 % of the rows." in would
    told = typed(desk, "deploy", "small-delays", "--version", str(BETTER), "--endpoint", NIGHTLY)
    assert f"small-delays {BETTER} is being rolled out at {NIGHTLY}, from scoring to scoring" in told
    again = typed(desk, "deploy", "small-delays", "--version", str(BETTER), "--endpoint", NIGHTLY, code=6)
    assert "is being rolled out" in again
    typed(desk, "score", NIGHTLY, "--all", "--detach")
    assert killed_in_the_middle(desk) < newest(desk).scoring.parts == 17
    typed(desk, "score", NIGHTLY, "--resume")
    done = newest(desk).scoring
    assert (done.state, done.rows, done.refused) == ("finished", ROWS, 0)
    frame = scores(desk)
    drawn = [
        "challenger" if share_of(f"small-delays/{BETTER}", key) < 0.5 else "champion" for key in frame["flight_id"]
    ]
    assert frame["arm"].to_list() == drawn
    assert frame.select(pl.col("version").eq(BETTER) == (pl.col("arm") == "challenger")).to_series().all()
    rows = [row for row in logged(desk) if row.id.startswith(done.id)]
    assert len({row.id for row in rows}) == len(rows) == ROWS
    shadows = read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "shadows", ShadowRow)[0]
    assert len({row.prediction for row in shadows}) == len(shadows) == ROWS
    status = typed(desk, "rollout", "status", NIGHTLY)
    assert "50 %" in status
    assert "has no process whose way back" not in typed(desk, "rollback", NIGHTLY, "--dry-run")
    assert "scores a table" in typed(desk, "rollback", NIGHTLY, "--drill", code=6)
    typed(desk, "rollout", "pause", NIGHTLY, "--reason", "the fair")
    typed(desk, "rollout", "resume", NIGHTLY)
    tried = typed(desk, "rollout", "advance", NIGHTLY, "--reason", "seen by the desk", "--dry-run")
    assert "It answers everything." in tried
    typed(desk, "rollout", "advance", NIGHTLY, "--reason", "seen by the desk")
    shown = msgspec.json.decode(typed(desk, "endpoints", "show", NIGHTLY, "--json"))
    assert shown["revisions"][0]["served"]["number"] == BETTER
    typed(desk, "rollback", NIGHTLY, "--scores", "--reason", "callers complain")
    assert set(scores(desk)["version"]) == {FIRST}
    assert [one.state for one in list_scorings(desk.workspace, ListScorings(name=NIGHTLY)).scorings] == ["finished"] * 2


@pytest.mark.parametrize("executor", ["processes", pytest.param("ray", marks=pytest.mark.long)])
def test_wherever_parts_are_scored_a_canary_comes_to_the_very_result(desk: Desk, executor: str) -> None:
    canary = [Canary(steps=(50, 100), margin=0.1)]
    nightly(desk, FIRST, rollout=canary)
    scored(desk)
    nightly(desk, BETTER, rollout=canary)
    scored(desk, every=True)
    abort(desk.workspace, Abort(endpoint=NIGHTLY, reason="once more, elsewhere"))
    placed = dataclasses.replace(desk.workspace, placement=placement(executor, 2))
    there = Desk(dataclasses.replace(desk.project, workspace=placed), desk.clock)
    nightly(there, BETTER, rollout=canary, into="elsewhere", workers=2, batch_rows=500)
    done = scored(there)
    assert (done.state, done.parts) == ("finished", 7)
    found = versions.read(desk.workspace, "elsewhere").collect()
    assert set(found["arm"]) == {"champion", "challenger"}
    assert found.drop("prediction", "revision").equals(scores(desk).drop("prediction", "revision"))
    log = {row.key: (row.arm, row.propensity, row.score) for row in logged(desk) if row.id.startswith(done.id)}
    assert log == {
        key: tuple(more) for key, *more in found.select("flight_id", "arm", "propensity", "score").iter_rows()
    }
    shadows = read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "shadows", ShadowRow)[0]
    assert sum(row.prediction.startswith(done.id) for row in shadows) == ROWS
