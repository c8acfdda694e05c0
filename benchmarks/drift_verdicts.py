"""Whether verdicts on drift are right: made windows of which it is known whether anything changed, and how much.

A model of 14 inputs (nine numbers of which two pairs are correlated and one has heavy tails, one with holes, a count, three
of categories) and its score. Windows of each size are drawn unchanged, with one real change of moderate size, and with one
that is real and void. Beside Slipway's `compare` judge, by the same rows: Kolmogorov-Smirnov and chi-square at p < 0.05
column by column; the rule by which Evidently chooses for a large reference (Wasserstein distance over the standard deviation,
or Jensen-Shannon distance, of at least 0.1), written by hand; and a detector that always fires. An alarm is any column that
alarms; a change is found when anything alarms. Everything is seeded; no row depends on how fast the machine is. Evidently and
NannyML themselves judge fewer windows, as many as their table says, where they are installed:
`make .venv/stamps/monitoring-peers`.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats as scipy_stats

from slipway.stats.drift import compare
from slipway.stats.profiles import Profile, profile

SIZES = (500, 1_000, 5_000, 20_000)
WINDOWS = 500
EACH = 40
SEED = 3_000
REFERENCE = 100_000
PEERS_REFERENCE = 20_000
REMARK = """\
Moderate is: 0.5 standard deviations of shift, of an input or of the score's logit; 1.6 times the spread; a new category in 5 %
of the rows; 10 points more missing; a correlation of 0.7 gone; 4 % of the rows 6 standard deviations out; 20 points of a
category's rows moved to others. Void is about a tenth of that. The floors were set with seed 1,000, that of
missing values once more after seed 2,000; this table has others.
"""

_PATH = "verdicts on drift"
_PEERS = Path(__file__).parents[1] / ".venv/monitoring-peers/bin/python"
_RULES = ("Slipway", "KS and chi-square, p < 0.05", "Evidently's rule, by hand", "always fires")
Table = dict[str, np.ndarray]
Change = Callable[[Table, np.random.Generator, float], None]


def rows_of(random: np.random.Generator, rows: int) -> Table:
    """Rows as they are without any change."""
    z = random.normal(size=(6, rows))
    table: Table = {f"n{place}": z[place] for place in range(4)}
    table["near"] = 0.7 * z[0] + 0.714 * z[4]
    table["far"] = -0.5 * z[1] + 0.866 * z[5]
    table["heavy"] = random.standard_t(3, rows)
    table["late"] = random.exponential(size=rows)
    table["holes"] = np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows))
    table["count"] = random.poisson(2.0, rows).astype(float)
    table["even"] = random.random(rows)
    table["kind"] = random.choice(np.array(["a", "b", "c", "d", "e"]), rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    share = 1 / np.arange(1, 41)
    table["city"] = random.choice(np.array([f"city {n}" for n in range(40)]), rows, p=share / share.sum())
    table["flag"] = random.choice(np.array(["no", "yes"]), rows, p=[0.8, 0.2])
    _answer(table, random)
    return table


def _answer(table: Table, random: np.random.Generator, more: float = 0.0) -> None:
    logit = 0.8 * table["n0"] + 0.5 * table["n2"] + random.normal(size=table["n0"].size) * 0.4
    table["score"] = 1 / (1 + np.exp(-(logit - 1 + more)))


def _shift(table: Table, random: np.random.Generator, size: float) -> None:
    table["n3"] = table["n3"] + 0.5 * size


def _scale(table: Table, random: np.random.Generator, size: float) -> None:
    table["n3"] = table["n3"] * (1 + 0.6 * size)


def _new_category(table: Table, random: np.random.Generator, size: float) -> None:
    table["kind"] = np.where(random.random(table["kind"].size) < 0.05 * size, "new", table["kind"])


def _missing(table: Table, random: np.random.Generator, size: float) -> None:
    table["holes"] = np.where(random.random(table["holes"].size) < 0.1 * size / 0.9, np.nan, table["holes"])


def _dependence(table: Table, random: np.random.Generator, size: float) -> None:
    correlation = 0.7 * (1 - size)
    noise = random.normal(size=table["n0"].size)
    table["near"] = correlation * table["n0"] + (1 - correlation**2) ** 0.5 * noise


def _tails(table: Table, random: np.random.Generator, size: float) -> None:
    is_out = random.random(table["n1"].size) < 0.04 * size
    table["n1"] = np.where(is_out, table["n1"] + 6 * random.choice([-1, 1], is_out.size), table["n1"])


def _mix(table: Table, random: np.random.Generator, size: float) -> None:
    is_moved = (table["kind"] == "a") & (random.random(table["kind"].size) < 0.5 * size)
    table["kind"] = np.where(is_moved, random.choice(np.array(["b", "c", "d"]), is_moved.size), table["kind"])


def _prediction(table: Table, random: np.random.Generator, size: float) -> None:
    _answer(table, random, 0.5 * size)


CHANGES: dict[str, Change] = {
    "shift": _shift,
    "scale": _scale,
    "new category": _new_category,
    "missing": _missing,
    "dependence": _dependence,
    "tails": _tails,
    "category mix": _mix,
    "prediction": _prediction,
}


class _Judges:
    """What is known of the reference, and the rules that judge a window by it."""

    def __init__(self, table: Table) -> None:
        self.reference: Profile = profile(_columns(table), predictions=("score",))
        self.numbers = {
            name: np.sort(values[~np.isnan(values)]) for name, values in table.items() if _is_number(values)
        }
        self.shares = {name: _shares(values) for name, values in table.items() if not _is_number(values)}
        self.rows = self.window = table["n0"].size

    def alarms(self, table: Table) -> list[bool]:
        """Which of the rules alarm."""
        plain = {
            name: np.sort(values[~np.isnan(values)]) if _is_number(values) else _shares(values)
            for name, values in table.items()
        }
        self.window = table["n0"].size
        answers = compare(profile(_columns(table), self.reference), self.reference)
        return [
            any(answer.verdict == "moved" for answer in answers),
            any(self._test(name, values) for name, values in plain.items()),
            any(self._distance(name, values) for name, values in plain.items()),
            True,
        ]

    def _test(self, name: str, values: Any) -> bool:
        if name in self.numbers:
            known, n = self.numbers[name], values.size
            upto = np.searchsorted(known, values, side="right") / known.size
            before = np.searchsorted(known, values, side="left") / known.size
            apart = max((np.arange(1, n + 1) / n - upto).max(), (before - np.arange(n) / n).max())
            return bool(scipy_stats.kstwobign.sf(apart * (n * known.size / (n + known.size)) ** 0.5) < 0.05)
        seen, shares = _together(values, self.shares[name])
        table = np.stack([seen * self.window, shares * self.rows])
        return bool(scipy_stats.chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False).pvalue < 0.05)

    def _distance(self, name: str, values: Any) -> bool:
        if name in self.numbers:
            known = self.numbers[name]
            ranks = (np.arange(400) + 0.5) / 400
            apart = np.abs(values[(ranks * values.size).astype(int)] - known[(ranks * known.size).astype(int)]).mean()
            return bool(apart / known.std() >= 0.1)
        p, q = _together(values, self.shares[name])
        middle = (p + q) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
        return bool((terms.sum() / 2) ** 0.5 >= 0.1)


def _is_number(values: np.ndarray) -> bool:
    return values.dtype.kind == "f"


def _columns(table: Table) -> dict[str, Any]:
    return {name: values if _is_number(values) else pl.Series(values) for name, values in table.items()}


def _shares(values: np.ndarray) -> dict[str, float]:
    counted = pl.Series(values).value_counts(name="count", normalize=True)
    return dict(counted.sort("count", descending=True).iter_rows())


def _together(one: dict[str, float], other: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    names = sorted({*one, *other})
    return np.array([one.get(name, 0.0) for name in names]), np.array([other.get(name, 0.0) for name in names])


def alarm_shares(
    size: int, windows: int, seed: int, change: Change | None = None, effect: float = 1.0, reference: int = REFERENCE
) -> list[float]:
    """The share of windows at which each rule alarms.

    Args:
        size: Rows of a window.
        windows: How many; each ten have a reference of their own, of which some are unlucky too.
        seed: Of everything.
        change: What changed; None for nothing.
        effect: How much of a moderate change.
        reference: Rows of a reference.
    """
    random = np.random.default_rng([seed, size, list(CHANGES.values()).index(change) + 1 if change else 0])
    found = []
    for start in range(0, windows, 50):
        judges = _Judges(rows_of(random, reference))
        for _ in range(min(50, windows - start)):
            table = rows_of(random, size)
            if change is not None:
                change(table, random, effect)
            found.append(judges.alarms(table))
    return np.mean(found, axis=0).tolist()


def run(
    sizes: tuple[int, ...] = SIZES,
    windows: int = WINDOWS,
    each: int = EACH,
    seed: int = SEED,
    reference: int = REFERENCE,
    peers: int = 25,
) -> list[dict[str, Any]]:
    """Simulate, and say what was found."""
    rows, table = [], []
    every, void, in_small = [], [], []
    for size in sizes:
        shares = alarm_shares(size, windows, seed, reference=reference)
        rows.append(_row(f"unchanged windows of {size:,} rows: alarms, % of {windows}", 100 * shares[0], goal=1.0))
        table.append((f"{size:,} rows, unchanged", shares))
    for name, change in CHANGES.items():
        found = [alarm_shares(size, each, seed, change, reference=reference) for size in sizes]
        least = [alarm_shares(size, each, seed + 1, change, 0.1, reference=reference) for size in sizes]
        every.append(np.mean(found, axis=0).tolist())
        in_small.append(found[0][0])
        void.append(np.mean(least, axis=0).tolist())
        what = f"{name}, moderate: found, % of {each * len(sizes)}"
        rows.append(_row(what, 100 * every[-1][0], goal_least=90.0))
        table.append((f"{name}, moderate", every[-1]))
        table.append((f"{name}, void", void[-1]))
    rows.append(_row("all moderate changes: found, %", 100 * np.mean(every, axis=0)[0], goal_least=95.0))
    rows.append(_small(sizes[0], in_small, each))
    hard = alarm_shares(sizes[0], windows, seed + 3, _missing, reference=reference)
    rows.append(_row(f"missing, moderate, in {sizes[0]:,} rows: found, % of {windows}", 100 * hard[0], goal_least=95.0))
    rows.append(_row("all void changes: alarms, %", 100 * np.mean(void, axis=0)[0], goal=10.0))
    table += [("all moderate", np.mean(every, axis=0).tolist()), ("all void", np.mean(void, axis=0).tolist())]
    found = [*rows, {"path": _PATH, "beside": _table(_RULES, table)}]
    if peers and _PEERS.exists():
        found.append({"path": _PATH, "beside": by_peers(sizes, peers, seed + 2, min(reference, PEERS_REFERENCE))})
    return found


def _small(size: int, found: list[float], each: int) -> dict[str, Any]:
    """The windows of the smallest size by themselves: large ones, where everything is found, would hide them."""
    what = f"all moderate changes in {size:,} rows: found, % of {each * len(found)}"
    return _row(what, 100 * float(np.mean(found)), goal_least=95.0)


def by_peers(sizes: tuple[int, ...], windows: int, seed: int, reference: int) -> str:
    """Fewer windows, beside a smaller reference, judged by Slipway and by the default verdicts of Evidently and NannyML."""
    random = np.random.default_rng(seed)
    table, kinds, own = rows_of(random, reference), [], []
    judges = _Judges(table)
    each = max(1, windows // 20)
    drawn = [(f"{size:,} rows, unchanged", size, None, 0.0, windows) for size in sizes]
    for told, effect in (("moderate", 1.0), ("void", 0.1)):
        drawn += [(f"all {told}", size, change, effect, each) for size in sizes for change in CHANGES.values()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame(_columns(table)).write_parquet(folder / "reference.parquet")
        for kind, size, change, effect, count in drawn:
            for _ in range(count):
                window = rows_of(random, size)
                if change is not None:
                    change(window, random, effect)
                pl.DataFrame(_columns(window)).write_parquet(folder / f"{len(kinds):04}.parquet")
                kinds.append(kind)
                own.append(judges.alarms(window)[0])
        judged = [("Slipway", own), *(_by_peer(tool, folder, len(own)) for tool in ("evidently", "nannyml"))]
    rows = []
    for kind in dict.fromkeys(kinds):
        at = [place for place, one in enumerate(kinds) if one == kind]
        rows.append((f"{kind} ({len(at)})", [float(np.mean([alarms[i] for i in at])) for _, alarms in judged]))
    told = f"Fewer windows beside one reference of {reference:,} rows, of all sizes; in brackets how many."
    return f"{told}\n\n{_table(tuple(tool for tool, _ in judged), rows)}"


def _by_peer(tool: str, folder: Path, windows: int) -> tuple[str, list[Any]]:
    """Its name and its alarms; NaN where it does not run."""
    script = Path(__file__).with_name("peers") / "verdict_peers.py"
    ran = subprocess.run([str(_PEERS), str(script), tool, str(folder)], capture_output=True, text=True, check=False)
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[-1:] or ["no word"]
        return f"{tool} does not run: {reason[0][:120].replace('|', '/')}", [float("nan")] * windows
    told = json.loads(ran.stdout.strip().splitlines()[-1])
    return f"{tool} {told['version']}", told["alarms"]


def _table(rules: tuple[str, ...], table: list[tuple[str, list[float]]]) -> str:
    lines = [f"| alarms, % of windows | {' | '.join(rules)} |", f"|---|{'---:|' * len(rules)}"]
    lines += [f"| {what} | {' | '.join(f'{100 * each:.3g}' for each in shares)} |" for what, shares in table]
    return "\n".join(lines)


def _row(what: str, value: float, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": None, "slipway": value, "ratio": None, **goal}


if __name__ == "__main__":
    import sys

    for line in run(seed=int(sys.argv[1]) if len(sys.argv) > 1 else SEED):
        print(line.get("beside") or f"{line['what']}: {line['slipway']:.3g}")
