"""Performance estimated without labels beside what labels then show, in a seeded simulation, and beside two naive ways.

Six inputs make a label by a curve with bends and a product; LightGBM learns it from 20,000 rows, other rows calibrate it.
A window has 10,000 rows whose inputs moved by so many standard deviations in one direction drawn at random, which is a
covariate shift: the chance of the label given the inputs is what it was. Raw says for every window what the evaluation
said before release; where it says so, it takes scores for chances. An error is the distance from what labels then show,
whose own chance is in it; each window's labels are drawn 25 times. In the last rows the relation itself changes (no estimate can see that), and a regression's
error grows with an input that moved.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
import polars as pl

from slipway.stats.classification import auc, log_losses, midranks
from slipway.stats.estimate import Estimate
from slipway.stats.estimated import Calibration, calibrate, expected
from slipway.stats.estimated_loss import expected_loss, fit_loss
from slipway.stats.regression import mae
from slipway.stats.splines import Spline

REMARK = """\
The further the inputs move, the more a calibration by scores alone differs from what it was on the mix that taught it: a model
that is wrong for some inputs is then asked for more of them. The inputs in the calibration mend most of that, and the interval
grows with the distance. A changed relation of inputs and labels is not seen at all, as the monitor's sentence says.
"""

INPUTS, DRAWS = 6, 25

_PATH = "estimated performance"
_PEERS = Path(__file__).parents[1] / ".venv/monitoring-peers/bin/python"
_TREES = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
}
_AS_THEY_ARE = Calibration(
    basis=Spline(knots=(), centre=0.0, scale=1.0), weights=np.zeros(2), covariance=np.zeros((2, 2)), low=0.0, high=1.0, rows=0
)  # fmt: skip


def chances(x: np.ndarray, changed: float = 0.0) -> np.ndarray:
    """The chance of the label; `changed` is how much of the first input's weight is lost."""
    odds = (
        -0.7 + 1.2 * (1 - changed) * x[:, 0] + 0.8 * np.sin(2 * x[:, 1]) + 0.6 * x[:, 0] * x[:, 2] - 0.25 * x[:, 3] ** 2
    )
    return np.asarray(1 / (1 + np.exp(-odds)))


class _Case(NamedTuple):
    """A row of the table: how many rows calibrate, how far the inputs moved, how much of the relation changed."""

    size: int
    shift: float
    changed: float = 0.0

    @property
    def told(self) -> str:
        moved = "the relation itself changed" if self.changed else f"inputs moved by {self.shift:g} sd"
        return f"calibrated by {self.size:,}, {moved}"


class _Window(NamedTuple):
    """Labelled rows of before, and a window of rows with the labels that come later."""

    truth: np.ndarray
    scored: np.ndarray
    known: np.ndarray
    later: np.ndarray
    scores: np.ndarray
    inputs: np.ndarray

    @property
    def realised(self) -> float:
        return auc(self.later, self.scores)


class _Peer(NamedTuple):
    """What NannyML and Slipway said of a window."""

    case: str
    realised: float
    found: Estimate


def run(
    windows: int = 150,
    rows: int = 10_000,
    references: tuple[int, ...] = (5_000, 20_000),
    models: int = 4,
    beside: int = 10,
) -> list[dict[str, Any]]:
    """Simulate; a row of the table a size of reference and shift. NannyML judges the first `beside` windows of each."""
    random = np.random.default_rng(5)
    learnt = [_learnt(random, 20_000) for _ in range(models)]
    cases = [_Case(size, shift) for size in references for shift in (0.0, 0.5, 1.0)]
    cases.append(_Case(references[-1], 0.0, changed=0.5))
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        asked: list[_Peer] = []
        for number, case in enumerate(cases):
            random = np.random.default_rng([5, number])
            count = max(models, windows // 10) if case.changed else windows
            found += _windows(random, learnt, count, rows, case, Path(name), asked, beside if _PEERS.exists() else 0)
        found += _losses(np.random.default_rng([5, len(cases)]), windows, rows, references[-1])
        if asked:
            found.append({"path": _PATH, "beside": _beside(Path(name), asked)})
    return found


def _learnt(random: np.random.Generator, rows: int) -> Any:
    x = random.normal(size=(rows, INPUTS))
    y = random.random(rows) < chances(x)
    return lgb.train(_TREES, lgb.Dataset(x, y), num_boost_round=60)


def _drawn(random: np.random.Generator, model: Any, rows: int, case: _Case) -> _Window:
    known = random.normal(size=(case.size, INPUTS))
    truth = random.random(case.size) < chances(known)
    away = random.normal(size=INPUTS)
    x = random.normal(size=(rows, INPUTS)) + case.shift * away / np.linalg.norm(away)
    later = random.random(rows) < chances(x, case.changed)
    return _Window(truth, model.predict(known), known, later, model.predict(x), x)


def _windows(
    random: np.random.Generator,
    learnt: list[Any],
    windows: int,
    rows: int,
    case: _Case,
    folder: Path,
    asked: list[_Peer],
    beside: int,
) -> list[dict[str, Any]]:
    told, took, again = [], 0.0, np.random.default_rng([6, case.size, int(10 * case.shift)])
    for number in range(windows):
        window = _drawn(random, learnt[number % len(learnt)], rows, case)
        realised, by_loss = _realised(again, window, case)
        started = time.process_time()
        calibration = calibrate(window.truth, window.scored, inputs=_named(window.known))
        assert calibration is not None
        found = expected("auc", window.scores, calibration, inputs=_named(window.inputs))
        took += time.process_time() - started
        loss = expected("log_loss", window.scores, calibration, inputs=_named(window.inputs))
        plain = expected("auc", window.scores, _AS_THEY_ARE).value
        before = auc(window.truth, window.scored)
        told.append(
            [
                _off(found.value, realised), _covers(found, realised), _off(before, realised),
                _off(plain, realised), _covers(loss, by_loss),
            ]
        )  # fmt: skip
        if number < beside:
            _written(folder, len(asked), window)
            asked.append(_Peer(case.told, window.realised, found))
    return _told(case, rows, np.mean(told, axis=0), 1000 * took / windows)


def _realised(random: np.random.Generator, window: _Window, case: _Case) -> tuple[np.ndarray, np.ndarray]:
    """AUC and log loss by labels that are drawn again and again, for chance is large in those of one window."""
    labels = (random.random((DRAWS, window.scores.size)) < chances(window.inputs, case.changed)).astype(np.float64)
    true, n = labels.sum(axis=1), window.scores.size
    aucs = (labels @ midranks(window.scores) - true * (true + 1) / 2) / (true * (n - true))
    when_true, when_false = (log_losses(np.full(n, label), window.scores) for label in (1.0, 0.0))
    return aucs, (labels @ (when_true - when_false) + when_false.sum()) / n


def _off(value: float, realised: np.ndarray) -> float:
    return float(np.abs(value - realised).mean())


def _covers(found: Estimate, realised: np.ndarray) -> float:
    return float(((found.low <= realised) & (realised <= found.high)).mean())


def _told(case: _Case, rows: int, figures: np.ndarray, milliseconds: float) -> list[dict[str, Any]]:
    errors, covered, before, naive, of_loss = figures
    what = f"{rows:,} rows, {case.told}"
    goals = {} if case.changed else {"goal": 0.008}
    found = [_row(f"AUC, {what}: mean error", errors, before, **goals)]
    if not case.changed:
        found.append(_row(f"AUC, {what}: 95 % intervals that cover, %", 100 * covered, None, goal_least=92.0))
        found.append(_row(f"log loss, {what}: 95 % intervals that cover, %", 100 * of_loss, None, goal_least=92.0))
        found.append(_row(f"AUC, {what}: mean error beside scores as they are", errors, naive))
        found.append(_row(f"{what}: CPU ms a window, calibration included", milliseconds, None))
    return found


def _named(inputs: np.ndarray) -> dict[str, np.ndarray]:
    return {f"x{place}": column for place, column in enumerate(inputs.T)}


def _written(folder: Path, number: int, window: _Window) -> None:
    known = pl.DataFrame({"score": window.scored, "label": window.truth.astype(int)})
    for name, frame in (("known", known), ("window", pl.DataFrame({"score": window.scores}))):
        decided = frame.with_columns(decision=(pl.col("score") >= 0.5).cast(pl.Int64))
        decided.write_parquet(folder / f"{number:04}-{name}.parquet")


def _beside(folder: Path, asked: list[_Peer]) -> str:
    """NannyML's figures beside ours, of the same windows."""
    script = Path(__file__).with_name("peers") / "estimated_peers.py"
    ran = subprocess.run([str(_PEERS), str(script), str(folder)], capture_output=True, text=True, check=False)
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[-1:] or ["no word"]
        return f"NannyML does not run: {reason[0][:120]}"
    figures = json.loads(ran.stdout.strip().splitlines()[-1])
    version, each = figures["version"], 1000 * figures["cpu_s"] / len(asked)
    lines = [
        f"AUC of the same windows, by NannyML {version}'s CBPE too ({each:.0f} CPU ms a window); its interval is 1.96 of the "
        "sampling errors that it states.",
        "",
        "| windows | mean error: Slipway | NannyML | intervals cover: Slipway | NannyML |",
        "|---|---:|---:|---:|---:|",
    ]
    both = list(zip(asked, figures["told"], strict=True))
    for case in dict.fromkeys(one.case for one in asked):
        part = [(one, value, 1.96 * error) for one, (value, error) in both if one.case == case]
        own = np.mean([abs(one.found.value - one.realised) for one, _, _ in part])
        theirs = np.mean([abs(value - one.realised) for one, value, _ in part])
        covered = np.mean([one.found.low <= one.realised <= one.found.high for one, _, _ in part])
        by_them = np.mean([abs(value - one.realised) <= half for one, value, half in part])
        lines.append(
            f"| {len(part)} {case} | {own:.4f} | {theirs:.4f} | {100 * covered:.0f} % | {100 * by_them:.0f} % |"
        )
    return "\n".join(lines)


def _losses(random: np.random.Generator, windows: int, rows: int, size: int) -> list[dict[str, Any]]:
    told = []
    for _ in range(windows):
        known, later = _prices(random, size, 0.0), _prices(random, rows, 0.7)
        model = fit_loss("mae", known[0], known[1], {"size": known[2]})
        assert model is not None
        found, realised = expected_loss(model, later[1], {"size": later[2]}), mae(later[0], later[1])
        told.append(
            [abs(found.value - realised), found.low <= realised <= found.high, abs(mae(known[0], known[1]) - realised)]
        )
    errors, covered, before = np.mean(told, axis=0)
    what = f"MAE, {rows:,} rows, an input that widens the error moved by 0.7 sd"
    return [
        _row(f"{what}: mean error", errors, before),
        _row(f"{what}: 95 % intervals that cover, %", 100 * covered, None, goal_least=92.0),
    ]


def _prices(random: np.random.Generator, rows: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size, other = random.normal(shift, 1.0, rows), random.normal(size=rows)
    scores = 10 + 2 * other
    return scores + random.normal(size=rows) * np.exp(0.4 * size), scores, size


def _row(what: str, slipway: float, raw: float | None, **goal: float) -> dict[str, Any]:
    ratio = None if raw is None else float(slipway) / float(raw)
    return {"path": _PATH, "what": what, "raw": raw, "slipway": max(float(slipway), 1e-9), "ratio": ratio, **goal}
