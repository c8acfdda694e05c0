"""The same pipelines of scikit-learn behind Slipway, MLflow, BentoML, FastAPI written by hand, and the least that answers.

The pipelines scale ten numbers and make two texts one-hot, some of both missing, before a histogram boosting or a logistic
regression. Slipway is an endpoint as shipped with one worker: it validates against its contract, logs and counts, and no
line of code was written for it. The others live in an environment of their own (`make .venv/stamps/serving-peers`); without
it nothing is measured. *Limit by hand* is what a specialist writes for this one pipeline and no other: typed decoding,
an own encoder, onnxruntime for the trees or a look-up for the regression, under uvicorn; it neither logs nor counts.

All servers are started, and each but the one that is asked is held (SIGSTOP). They are asked in rounds, one after another,
by clients on connections that stay open. CPU is that of all of a server's processes. Figures are medians of the rounds, and
ratios medians of the ratios within the rounds. First answer: from the start of the process to the first right one. Rows that
are asked one by one, a third of them with something missing, are compared with the pipeline's own answers.
"""

import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.neighbors import KNeighborsClassifier

from benchmarks.closed_loop import cpu_ns, send
from benchmarks.compiled_models import fitted, histogram, logistic, plain, rows
from benchmarks.one_row_prediction import NAME, deployed
from benchmarks.serving_sides import PYTHON, Running, held, peers, released, slipway_side, started
from slipway.hosts.project import open_workspace
from slipway.models.model import Model

ROUNDS = 3
SECONDS = 0.8
CELLS = ((1, 1), (1, 16), (1, 64), (100, 1), (100, 16), (100, 64))
"""How many rows a request has, and how many clients ask at once."""
CHECKED = 200
WRONG = 1e-4
STARTS = 3
TIMES_GOALS = {(1, 16): 80, (100, 16): 15}
"""How many times Slipway's CPU MLflow is to take."""
LIMIT_GOAL = 0.22 / 0.12
"""Slipway's CPU to that of the limit at one row by 16 clients."""
MODELS = {"histogram boosting": histogram, "logistic regression": logistic}
FIRST = "histogram boosting"
REMARK = """\
MLflow is wrong where a row alone misses a text: its frame then holds an object where training had a text, and the encoder
does not know it. It says nothing of it. FastAPI and BentoML are right because the code that was written for them types each
column as in training.
"""
_PATH = "serving beside its peers"
_OURS, _LIMIT, _MLFLOW = "Slipway", "limit by hand", "mlflow models serve"


class Cell(NamedTuple):
    """One server's figures at one size and number of clients."""

    cpu_ms: float
    rate: float
    p50_ms: float
    p99_ms: float


Found = dict[tuple[str, tuple[int, int]], list[Cell]]


def measured(running: Running, asked: Sequence[bytes], clients: int, seconds: float) -> Cell:
    """Ask a server for some seconds."""
    send(running.port, asked, min(clients, 4), seconds=seconds / 10)  # warm
    before = cpu_ns(running.pid)
    load = send(running.port, asked, clients, seconds=seconds)
    time.sleep(0.05)  # what is logged behind an answer is part of its price
    cpu_ms = (cpu_ns(running.pid) - before) / 1e6 / len(load.took_s)
    return Cell(cpu_ms, load.rate, load.p50_ms, load.p99_ms)


def in_rounds(
    servers: Sequence[Running], asked: list[dict[str, Any]], cells: Any, rounds: int, seconds: float
) -> Found:
    """All figures, by server and cell, one a round."""
    found: Found = {}
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds} ...", file=sys.stderr, flush=True)
        turn = number % len(servers)
        for cell in cells:
            size, clients = cell
            for running in [*servers[turn:], *servers[:turn]]:
                requests = [
                    running.request(asked[at : at + size]) for at in range(0, len(asked) - size + 1, max(size, 5))
                ]
                released(running)
                found.setdefault((running.side.name, cell), []).append(measured(running, requests, clients, seconds))
                held(running)
    return found


def right_answers(running: Running, asked: list[dict[str, Any]], right: Sequence[float]) -> int:
    """How many rows are answered as by the pipeline itself, each asked alone."""
    return sum(abs(running.scores([row])[0] - known) <= WRONG for row, known in zip(asked, right, strict=True))


def _prepare(folder: Path, pipeline: Any, frame: Any) -> None:
    folder.mkdir()
    (folder / "pipeline.pkl").write_bytes(pickle.dumps(pipeline))
    (folder / "sample.pkl").write_bytes(pickle.dumps(frame.head(200)))
    command = [str(PYTHON), "serving_prepare.py", str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parent / "peers", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _one_model(name: str, root: Path, cells: Any, rounds: int, seconds: float, starts: int) -> list[dict[str, Any]]:
    frame = rows()
    pipeline = MODELS[name](frame)
    asked, right = plain(frame, CHECKED), pipeline.predict_proba(frame.head(CHECKED))[:, 1]
    whole = next(at for at, row in enumerate(asked) if None not in row.values())
    _prepare(root / "peers", pipeline, frame)
    workspace = open_workspace(root / "store", project="bench")
    ours = slipway_side(workspace, deployed(workspace, Model(pipeline, sample=frame)), NAME)
    firsts = []
    for _ in range(starts - 1):
        with started(ours, [asked[whole]], right[whole], WRONG) as running:
            firsts.append(running.first_s)
    with ExitStack() as stack:
        servers, counted = [], {}
        for side in [*peers(root / "peers"), ours]:
            print(f"  {name}: {side.name} ...", file=sys.stderr, flush=True)
            running = stack.enter_context(started(side, [asked[whole]], right[whole], WRONG))
            counted[side.name] = right_answers(running, asked, right)
            held(running)
            servers.append(running)
        found = in_rounds(servers, asked, cells, rounds, seconds)
        first = {one.side.name: one.first_s for one in servers}
    first[_OURS] = statistics.median([*firsts, first[_OURS]])
    workspace.ledger.close()
    return [*_told(name, found, first, counted, cells), {"beside": _table(name, found, first, counted, cells)}]


def _told(
    name: str, found: Found, first: dict[str, float], counted: dict[str, int], cells: Any
) -> list[dict[str, Any]]:
    made = []
    for cell in cells:
        cpu = {side: [one.cpu_ms for one in found[side, cell]] for side in (_OURS, _LIMIT, _MLFLOW)}
        ratios = [mine / theirs for mine, theirs in zip(cpu[_OURS], cpu[_LIMIT], strict=True)]
        goal = {"goal_ratio": LIMIT_GOAL} if cell == (1, 16) and name == FIRST else {}
        what = f"{name}, {_words(cell)}: CPU ms a request (raw is the {_LIMIT})"
        made.append(
            _row(what, statistics.median(cpu[_LIMIT]), statistics.median(cpu[_OURS]), statistics.median(ratios), **goal)
        )
        times = statistics.median(theirs / mine for mine, theirs in zip(cpu[_OURS], cpu[_MLFLOW], strict=True))
        what = f"{name}, {_words(cell)}: {_MLFLOW} takes so many times Slipway's CPU"
        goal = {"goal_least": TIMES_GOALS[cell]} if cell in TIMES_GOALS else {}
        made.append(_row(what, None, times, None, **goal))
    what = f"{name}: right answers of {CHECKED}, each row alone (raw is {_MLFLOW})"
    made.append(
        _row(what, counted[_MLFLOW], counted[_OURS], counted[_OURS] / max(1, counted[_MLFLOW]), goal_least=CHECKED)
    )
    what = f"{name}: start to the first right answer, s (raw is {_MLFLOW})"
    return [*made, _row(what, first[_MLFLOW], first[_OURS], first[_OURS] / first[_MLFLOW], goal=1.0)]


def _row(what: str, raw: float | None, ours: float, ratio: float | None, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": raw, "slipway": ours, "ratio": ratio, **goal}


def _words(cell: tuple[int, int]) -> str:
    return f"{cell[0]} row{'s' * (cell[0] > 1)}, {cell[1]} at once"


def _table(name: str, found: Found, first: dict[str, float], counted: dict[str, int], cells: Any) -> str:
    """All servers' figures as one table of Markdown."""
    heads = [f"{name}: CPU ms · requests/s · p50 · p99 ms", *map(_words, cells), "first answer, s", "right"]
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---:' * (len(heads) - 1)}|"]
    for server, first_s in first.items():
        figures = []
        for cell in cells:
            middle = Cell(*(statistics.median(values) for values in zip(*found[server, cell], strict=True)))
            figures.append(f"{middle.cpu_ms:.3g} · {middle.rate:,.0f} · {middle.p50_ms:.3g} · {middle.p99_ms:.3g}")
        lines.append(f"| {' | '.join([server, *figures, f'{first_s:.2g}', f'{counted[server]} of {CHECKED}'])} |")
    return "\n".join(lines)


def _plain_start(root: Path, starts: int) -> dict[str, Any]:
    """The first right answer of a model that has no compiled form."""
    frame = rows()
    pipeline = fitted(frame, KNeighborsClassifier())
    asked, right = plain(frame, 1), pipeline.predict_proba(frame.head(1))[0, 1]
    workspace = open_workspace(root / "store", project="bench")
    ours = slipway_side(workspace, deployed(workspace, Model(pipeline, sample=frame)), NAME)
    firsts = []
    for _ in range(starts):
        with started(ours, asked, right, WRONG) as running:
            firsts.append(running.first_s)
    workspace.ledger.close()
    what = "nearest neighbours, which are not compiled: start to the first right answer, s"
    return _row(what, None, statistics.median(firsts), None, goal=3.0)


def run(
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    cells: Sequence[tuple[int, int]] = CELLS,
    models: Sequence[str] = tuple(MODELS),
    starts: int = STARTS,
) -> list[dict[str, Any]]:
    """Rows of the table; no row where the peers' environment is not there.

    Args:
        rounds: How often each server is asked in each way.
        seconds: For how long.
        cells: Rows a request and clients at once.
        models: Which of `MODELS`.
        starts: How often Slipway is started; the median counts.
    """
    if not PYTHON.exists():
        return []
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a server that compiles its libraries at each start is nobody's
    made = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in models:
            with tempfile.TemporaryDirectory() as root:
                made += _one_model(name, Path(root), cells, rounds, seconds, starts)
        with tempfile.TemporaryDirectory() as root:
            made.append(_plain_start(Path(root), starts))
    return [row for row in made if "what" in row] + [row for row in made if "beside" in row]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for one in run():
        print(one)
