"""Scorings in processes of their own: killed at any moment, beside a live endpoint, in a pool and on Ray."""

import dataclasses
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from click.testing import CliRunner
from scoring_desk import NIGHTLY, nightly, scored, scores
from small_desk import FIRST, NAME, Desk

from slipway.cli import main
from slipway.flows.contracts import request_fields
from slipway.flows.endpoints import folder_of
from slipway.flows.score import get_scoring, parts_folder, start_scoring, task_folder
from slipway.hosts.executors import placement
from slipway.models import registry
from slipway.operations.scorings import GetScoring, ScoringDetail, StartScoring
from slipway.ports.runner import LOCK_FILE
from slipway.records.predictions import PredictionRow
from slipway.serving.open_loop import one_after_another
from slipway.tables import versions
from slipway.tables.log_rows import read_rows

pytestmark = pytest.mark.full
ROWS = 3360


def looked_at(desk: Desk) -> ScoringDetail:
    return get_scoring(desk.workspace, GetScoring(name=NIGHTLY))


def ended(desk: Desk, timeout_s: float = 120) -> ScoringDetail:
    until = time.monotonic() + timeout_s
    while (found := looked_at(desk)).is_alive and time.monotonic() < until:
        time.sleep(0.05)
    return found


def logged(desk: Desk) -> list[PredictionRow]:
    rows, _ = read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "predictions", PredictionRow)
    return sorted(rows, key=lambda row: (row.revision, int(row.id.rpartition("-")[2])))


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return one.drop("prediction", "revision").equals(other.drop("prediction", "revision"))


def test_a_live_endpoint_and_a_batch_endpoint_answer_the_same_bits(desk: Desk) -> None:
    desk.approve(FIRST)
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None
    flights = versions.read(desk.workspace, "flights").collect()
    rows = flights.slice(0, 3).vstack(flights.slice(1000, 150)).vstack(flights.slice(2600, 150)).sort("asked_at")
    fields = request_fields(registry.bundle_of(desk.workspace, desk.version(FIRST)))
    names = [field.name for field in fields]
    bodies = [
        msgspec.json.encode(
            {"rows": [{"flight_id": row["flight_id"], **{name: row[name] for name in names}}], "at": row["asked_at"]}
        )
        for row in rows.to_dicts()
    ]
    answers = one_after_another(deployed.status.url, f"/endpoints/{NAME}/predict", bodies, timeout_s=30)
    told = [msgspec.json.decode(answer.body)["predictions"][0] for answer in answers]
    live = rows.select("flight_id").with_columns(
        live=pl.Series([one["score"] for one in told]), yes=pl.Series([one["decision"] for one in told])
    )
    nightly(desk)
    scored(desk)
    both = live.join(scores(desk), on="flight_id", maintain_order="left")
    assert both.height == rows.height
    assert both["live"].equals(both["score"])
    assert both["yes"].equals(both["decision"])
    assert both["live"].n_unique() > 20
    first = {row.key: row.features for row in logged(desk)}
    served, _ = read_rows(desk.folder / "log", "predictions", PredictionRow)
    assert [row.features for row in served] == [first[row.key] for row in served]


def test_killed_again_and_again_it_comes_to_the_very_result(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    whole, count = scores(desk), len(logged(desk))
    nightly(desk, 2, batch_rows=60)
    start_scoring(desk.workspace, StartScoring(name=NIGHTLY, every=True))
    chance, done, kills = random.Random(5), 0, 0
    while kills < 4:
        folder = task_folder(desk.workspace, looked_at(desk).scoring)
        wanted = done + chance.randrange(1, 10)
        until = time.monotonic() + 60
        while (now := looked_at(desk)).is_alive and now.parts_done < wanted and time.monotonic() < until:
            time.sleep(0.001)
        if not now.is_alive:
            break
        pid = int((folder / LOCK_FILE).read_text())
        os.killpg(pid, signal.SIGKILL)
        kills += 1
        until = time.monotonic() + 30
        while looked_at(desk).is_alive and time.monotonic() < until:
            time.sleep(0.01)
        found = looked_at(desk)
        assert found.scoring.state == "running"
        assert found.parts_done >= done
        done = found.parts_done
        assert scores(desk).equals(whole)  # no half result
        assert len(logged(desk)) == count
        start_scoring(desk.workspace, StartScoring(name=NIGHTLY, every=True, resume=bool(kills % 2)))
    assert kills == 4
    assert ended(desk).scoring.state == "finished"
    killed = scores(desk)
    assert len({row.id for row in logged(desk)}) == len(logged(desk)) == count + ROWS
    nightly(desk, 2, into="scored_at_once")
    scored(desk)
    assert same(versions.read(desk.workspace, "scored_at_once").collect(), killed)
    assert not list(Path(parts_folder(desk.workspace, looked_at(desk).scoring).parent).glob("*"))


def test_a_pool_of_processes_comes_to_the_very_result(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    nightly(desk, into="in_a_pool", workers=2, batch_rows=500)
    done = scored(desk)
    assert (done.state, done.parts) == ("finished", 7)
    pooled = versions.read(desk.workspace, "in_a_pool").collect()
    assert same(pooled, scores(desk))


def test_a_worker_that_is_killed_fails_the_scoring_which_is_gone_on_with(desk: Desk) -> None:
    nightly(desk, workers=2, batch_rows=20)
    worker, part = _busy_worker(desk)
    os.kill(worker, signal.SIGKILL)
    os.kill(part, signal.SIGCONT)  # one held in its first moments sees only then that it is alone
    found = ended(desk)
    assert found.scoring.state == "failed"
    assert "was killed by SIGKILL" in found.scoring.sentence
    assert 3 <= found.parts_done < ROWS / 20
    start_scoring(desk.workspace, StartScoring(name=NIGHTLY, resume=True))
    assert ended(desk).scoring.state == "finished"
    assert scores(desk).height == ROWS


def _busy_worker(desk: Desk) -> tuple[int, int]:
    """A worker and its part, which is held half-way: one that waits for a part is replaced when it is killed, and nothing fails."""
    for _ in range(50):  # a slow test may come when all parts are done
        start_scoring(desk.workspace, StartScoring(name=NIGHTLY, every=True))
        while (found := looked_at(desk)).is_alive:
            home = int((task_folder(desk.workspace, found.scoring) / LOCK_FILE).read_text() or 0)
            for worker in _children(home) if found.parts_done >= 3 else ():
                for part in _children(worker):
                    if _held(part):
                        return worker, part
            time.sleep(0.005)
    raise AssertionError("no worker of 50 scorings was met at work")


def _children(parent: int) -> list[int]:
    return [
        int(path.name) for path in Path("/proc").glob("[0-9]*") if parent and _stat(int(path.name))[1:] == [str(parent)]
    ]


def _held(pid: int) -> bool:
    """Whether a process could be stopped before its end."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    until = time.monotonic() + 10
    while (state := _stat(pid)[:1]) not in (["T"], ["Z"], []) and time.monotonic() < until:
        time.sleep(0.001)
    return state == ["T"]


def _stat(pid: int) -> list[str]:
    """State and parent of a process; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return []


@pytest.mark.long
def test_ray_comes_to_the_very_result(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    on_ray = dataclasses.replace(desk.workspace, placement=placement("ray", 2))
    ray = Desk(dataclasses.replace(desk.project, workspace=on_ray), desk.clock)
    nightly(ray, into="on_ray", workers=2, batch_rows=1000)
    done = scored(ray)
    assert (done.state, done.parts) == ("finished", 4)
    assert same(versions.read(desk.workspace, "on_ray").collect(), scores(desk))


def test_it_is_typed_as_the_page_says(desk: Desk) -> None:
    nightly(desk)

    def typed(*words: str) -> Any:
        return CliRunner().invoke(main, [*words, "-C", str(desk.project.folder)], catch_exceptions=False)

    assert typed("score", NIGHTLY).output.endswith(
        "3,360 rows of version 1 of 'flights' were scored into version 1 of 'scored_flights'.\n"
    )
    assert "was scored by revision 1" in typed("score", NIGHTLY).output
    told = msgspec.json.decode(typed("score", NIGHTLY, "--json").output)
    assert (told["state"], told["number"]) == ("unchanged", 3)
    left = typed("score", NIGHTLY, "--resume")
    assert (left.exit_code, "has no scoring that was left unfinished" in left.output) == (6, True)
    assert "unchanged 0 rows" in typed("endpoints", "list").output
    assert "into         scored_flights" in typed("endpoints", "show", NIGHTLY).output
    assert typed("labels", NIGHTLY, '{"key": {"flight_id": "F1"}, "value": 1}').output == "1 labels accepted.\n"
    assert "answers no requests" in typed("predict", NIGHTLY, "{}").output
