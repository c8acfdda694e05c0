"""What a roll-out decides, in seeded simulations: Slipway's judges beside the rules of other tools, on the same traffic.

Each simulated roll-out has 20 looks; the canary gets a tenth of the requests, the champion the rest, at the same time.
Both fail on 1 % of requests where they are identical; in a shared outage both fail on 30 % from half way on. The other
tools' rules are simulated, not the tools: Argo's and Flagger's limit is twice the champion's usual rate, judged on each
look's requests alone; Argo gives up at the first failed look by default, Flagger at the fifth; Kayenta's is a
Mann-Whitney test at 98 % of ten points of each arm within a look. Slipway's verdicts are those of `judge_canary` and
`judge_shadow` themselves with their default settings. "Requests" are those of the canary.
"""

import math
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from slipway.rollout.declare import Canary, Shadow
from slipway.rollout.judge_canary import judge_canary
from slipway.rollout.judge_shadow import judge_shadow

RUNS = 200
SIZES = (20, 100, 1_000, 10_000)
REMARK = """\
A fixed limit is right only where one look has thousands of requests and nothing else happens; a shared outage rolls
back with certainty, because none of the first three looks at the champion beside it. The Mann-Whitney test does, and
still errs the more often it is asked. Slipway's evidence that the canary fails more often only grows: a roll-out is
"worse" at some look just if it is at the last, so false roll-backs need one judgement a simulation.
"""

_PATH = "decisions of roll-outs"
_LOOKS, _POINTS, _RATE, _OUTAGE = 20, 10, 0.01, 0.3
_START = datetime(2026, 1, 5, tzinfo=UTC)
_RULES = ("Argo, limit 0", "Argo, limit 3", "Flagger, 5", "Mann-Whitney", "Slipway")


def counts_of(failures: np.ndarray, rows: np.ndarray, canary_failures: np.ndarray, canary_rows: np.ndarray) -> Any:
    """The frame that `judge_canary` takes, a block a look."""
    return pl.DataFrame(
        {
            "at": [_START + timedelta(minutes=5 * block) for block in range(len(rows))],
            "champion_rows": rows,
            "champion_failures": failures,
            "challenger_rows": canary_rows,
            "challenger_failures": canary_failures,
        }
    )


def is_rolled_back(
    random: np.random.Generator, requests: int, rates: np.ndarray, canary_rates: np.ndarray
) -> list[bool]:
    """Whether each rule rolls back one simulated roll-out, in the order of the table."""
    points = np.full((_LOOKS, _POINTS), requests // _POINTS)
    champion = random.binomial(9 * points, rates[:, None])
    canary = random.binomial(points, canary_rates[:, None])
    failed = int((canary.sum(axis=1) / points.sum(axis=1) > 2 * _RATE).sum())
    higher = any(_is_higher(a / 9, b) for a, b in zip(champion, canary, strict=True))
    counts = counts_of(*(each.sum(axis=1) for each in (champion, 9 * points, canary, points)))
    look = judge_canary(Canary().spec(), counts, step=0, since=_START, now=_START + timedelta(hours=2))
    return [failed > 0, failed > 3, failed >= 5, higher, look.verdict == "worse"]


def _is_higher(a: np.ndarray, b: np.ndarray) -> bool:
    """Mann-Whitney at 98 %, normal with the correction for ties: does b lie higher?"""
    pooled = np.concatenate([a, b])
    _, places, ties = np.unique(pooled, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[places]
    n = pooled.size
    above = ranks[a.size :].sum() - b.size * (b.size + 1) / 2 - a.size * b.size / 2
    variance = a.size * b.size / 12 * (n + 1 - (ties**3 - ties).sum() / (n * (n - 1)))
    return bool(variance > 0 and above / math.sqrt(variance) > 2.326)


def false_rollbacks(runs: int, requests: int, outage: bool) -> list[float]:
    """The share of identical canaries that each rule rolls back."""
    random = np.random.default_rng(requests + outage)
    rates = np.where(np.arange(_LOOKS) >= _LOOKS // 2, _OUTAGE if outage else _RATE, _RATE)
    return np.mean([is_rolled_back(random, requests, rates, rates) for _ in range(runs)], axis=0).tolist()


def requests_to_find(runs: int, requests: int, rate: float) -> float:
    """The median of the canary's requests until it is called worse; infinity where it never is."""
    random, found = np.random.default_rng(7), []
    for _ in range(runs):
        a, b = random.binomial(9 * requests, _RATE, _LOOKS), random.binomial(requests, rate, _LOOKS)
        rows = np.full(_LOOKS, requests)
        for look in range(1, _LOOKS + 1):
            counts = counts_of(a[:look], 9 * rows[:look], b[:look], rows[:look])
            if judge_canary(Canary().spec(), counts, step=0, since=_START, now=_START).verdict == "worse":
                found.append(float(look * requests))
                break
        else:
            found.append(math.inf)
    return statistics.median(found)


def reaches_everybody(random: np.random.Generator, requests: int) -> bool:
    """Whether a canary that fails more often by twice the margin gets to 100 %."""
    spec, step = Canary().spec(), 0
    blocks: list[tuple[int, int, int, int]] = []
    since = _START
    for look in range(10 * _LOOKS):
        share = spec.steps[step] / 100
        rows = round(requests * (1 - share) / share)
        blocks.append(
            (
                random.binomial(rows, _RATE),
                rows,
                random.binomial(requests, _RATE + 2 * spec.margin),
                requests,
            )
        )
        counts = counts_of(*np.array(blocks).T)
        now = _START + timedelta(minutes=5 * look)
        verdict = judge_canary(spec, counts, step=step, since=since, now=now).verdict
        if verdict == "worse":
            return False
        if verdict == "not worse":
            step, since = step + 1, now + timedelta(minutes=5)
            if spec.steps[step] == 100:
                return True
    return False


def passes_shadow(random: np.random.Generator, days: int = 12, rows: int = 200) -> bool:
    """Whether a challenger whose log loss is worse by twice the margin and more is let through by its shadow."""
    spec = Shadow().spec()
    logit = random.normal(-1, 1, (days, rows))
    truth = 1 / (1 + np.exp(-logit))
    # The champion is right on average; this noise costs 0.021 of log loss, computed with 400,000 rows.
    noisy = logit + random.normal(0, 0.48, logit.shape) + random.normal(0, 0.1, (days, 1))
    day = np.repeat(np.arange(days), rows)
    pairs = pl.DataFrame(
        {
            "at": [_START + timedelta(days=int(each), hours=12) for each in day],
            "label": (random.random(day.size) < truth.ravel()).astype(int),
            "champion": truth.ravel(),
            "challenger": (1 / (1 + np.exp(-noisy))).ravel(),
            "source": "live",
        }
    )
    for day_now in range(7, days + 1):
        now = _START + timedelta(days=day_now, hours=1)
        verdict = judge_shadow(spec, pairs.filter(pl.col("at") < now), since=_START, now=now).verdict
        if verdict != "undecided":
            return verdict == "not worse"
    return False


def _beside(table: list[tuple[str, list[float]]], runs: int) -> str:
    lines = [
        f"Identical canaries that were rolled back, of {runs:,}:",
        "",
        f"| requests a look | {' | '.join(_RULES)} |",
    ]
    lines.append(f"|---|{'---:|' * len(_RULES)}")
    lines += [f"| {what} | {' | '.join(f'{100 * each:.3g} %' for each in shares)} |" for what, shares in table]
    return "\n".join(lines)


def run(runs: int = RUNS, sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """Simulate, and say what was decided."""
    rows: list[dict[str, Any]] = []
    table = []
    for outage in (False, True):
        for size in sizes:
            what = f"{size:,}{', shared outage' if outage else ''}"
            shares = false_rollbacks(runs, size, outage)
            table.append((what, shares))
            rows.append(_row(f"identical canary, {what} requests a look: rolled back, %", 100 * shares[-1], goal=1.0))
    found = requests_to_find(runs, 20, 0.1)
    rows.append(_row("10 % errors beside 1 %: requests until it is called worse, median", found, goal=100.0))
    random = np.random.default_rng(11)
    through = sum(reaches_everybody(random, 100) for _ in range(runs))
    rows.append(_row(f"fails more by twice the margin: at 100 % in so many of {runs}", through, goal=1.0))
    random = np.random.default_rng(12)
    passed = sum(passes_shadow(random) for _ in range(runs))
    rows.append(_row(f"log loss worse by twice the margin: past its shadow in so many of {runs}", passed))
    return [*rows, {"path": _PATH, "beside": _beside(table, runs)}]


def _row(what: str, value: float, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": None, "slipway": value, "ratio": None, **goal}
