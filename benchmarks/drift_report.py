"""The reference profile, a window's profile, all verdicts and the stored report of two frames, beside raw Polars statistics.

Raw is what one writes by hand: of each number sort both frames' values, ten bins at the reference's deciles, population
stability index, Jensen-Shannon and Wasserstein distance; of each category count both and take the same distances. It keeps
nothing, looks at no missing value and at no pair of columns. "Window" is the part of both that a second window costs, once the
reference is known (raw keeps the sorted reference). CPU seconds of all threads; the peak is that of a process of its own which
reads both frames from Parquet. Evidently and NannyML run where they are installed: `make .venv/stamps/monitoring-peers`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from benchmarks.pairs import Compared, compare, row
from slipway.stats.drift import compare as compare_profiles
from slipway.stats.flat_profiles import Flat
from slipway.stats.profiles import from_bytes, profile, to_bytes

ROWS = 1_000_000
PAIRS = 5
NUMBERS, TEXTS = 22, 8
REMARK = """\
The reference's edges come from 200,000 rows that lie evenly among all, everything else from all of them; that is where raw,
which sorts all rows, costs more. The report is the answers as stored, about 100 of them, and the window's profile.
"""

_PATH = "drift report"
_PEERS = Path(__file__).parents[1] / ".venv/monitoring-peers/bin/python"


def make_frame(rows: int, seed: int, moved: bool = False) -> pl.DataFrame:
    """Thirty columns: numbers of several shapes, a third of them with nulls, some correlated; eight of categories."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    common = random.normal(size=rows)
    for place in range(NUMBERS):
        values = random.normal(size=rows) + (0.8 * common if place % 4 == 0 else 0.0)
        if place % 4 == 1:
            values = np.exp(values)
        if moved and place == 2:
            values += 0.5
        series = pl.Series(values)
        if place % 3 == 0:
            series = pl.select(pl.when(pl.Series(random.random(rows) < 0.05)).then(None).otherwise(series)).to_series()
        columns[f"n{place}"] = series
    for place in range(TEXTS):
        levels = [f"level {n}" for n in range(4 + 12 * place)]
        share = 1 / np.arange(1, len(levels) + 1)
        codes = random.choice(len(levels), rows, p=share / share.sum())
        columns[f"t{place}"] = pl.Series(levels)[codes]
    return pl.DataFrame(columns)


def reference_by_hand(frame: pl.DataFrame) -> dict[str, Any]:
    """What the raw side keeps of the reference."""
    kept: dict[str, Any] = {}
    for series in frame:
        if series.dtype == pl.String:
            kept[series.name] = series.value_counts(name="count")
            continue
        ordered = series.drop_nulls().sort()
        values = ordered.to_numpy()
        edges = values[(np.arange(1, 10) * values.size) // 10]
        kept[series.name] = (values, edges, _binned(values, edges))
    return kept


def window_by_hand(frame: pl.DataFrame, kept: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """The distances of a window from the reference."""
    found: dict[str, tuple[float, ...]] = {}
    for series in frame:
        known = kept[series.name]
        if series.dtype == pl.String:
            both = known.join(series.value_counts(name="now"), on=series.name, how="full", coalesce=True)
            found[series.name] = _distances(*(both[name].fill_null(0).to_numpy() for name in ("count", "now")))
            continue
        values = series.drop_nulls().sort().to_numpy()
        ranks = np.arange(min(values.size, known[0].size))
        apart = known[0][ranks * known[0].size // ranks.size] - values[ranks * values.size // ranks.size]
        found[series.name] = (*_distances(known[2], _binned(values, known[1])), float(np.abs(apart).mean()))
    return found


def _binned(ordered: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.diff(np.searchsorted(ordered, edges, side="right"), prepend=0, append=ordered.size)


def _distances(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    p, q = np.maximum(one / one.sum(), 1e-6), np.maximum(other / other.sum(), 1e-6)
    middle = (p + q) / 2
    shannon = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    return float(((p - q) * np.log(p / q)).sum()), float(shannon**0.5)


def whole_by_hand(reference: pl.DataFrame, window: pl.DataFrame) -> dict[str, tuple[float, ...]]:
    """All of the raw side."""
    return window_by_hand(window, reference_by_hand(reference))


def window_report(window: pl.DataFrame, stored: bytes, folder: Path) -> int:
    """Profile a window over a stored reference, judge it and store the report; how many questions moved."""
    reference = from_bytes(stored)
    found = profile(window, reference)
    answers = compare_profiles(found, reference)
    (folder / "window.bin").write_bytes(to_bytes(found))
    (folder / "report.json").write_bytes(msgspec.json.encode(answers))
    return sum(answer.verdict == "moved" for answer in answers)


def whole_report(reference: pl.DataFrame, window: pl.DataFrame, folder: Path) -> int:
    """The reference too."""
    stored = to_bytes(profile(reference))
    (folder / "reference.bin").write_bytes(stored)
    return window_report(window, stored, folder)


def _cpu(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def run(rows: int = ROWS, pairs: int = PAIRS, peers: bool = True) -> list[dict[str, Any]]:
    """Measure."""
    size = f"{rows:,} + {rows:,} rows x {NUMBERS + TEXTS} columns"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, second = _measured(rows, pairs, folder)
        of_whole = Compared(whole.raw, second.slipway, second.slipway / whole.raw)
        found = [
            row(_PATH, f"{size}: reference, window, verdicts, report; CPU s", whole, goal_ratio=1.2),
            row(_PATH, "a second window; CPU s, beside raw's whole", of_whole, goal_ratio=0.6),
            row(_PATH, "a second window; CPU s, beside raw's window", second),
            _only("the stored reference profile, KB", (folder / "reference.bin").stat().st_size / 1024, goal=64.0),
            _only("a day of 8 replicas, 192 hourly profiles merged into one; CPU ms", _merged(folder), goal=20.0),
            _only("peak of a process that reads both, GiB", _peak(folder), goal=1.0),
        ]
        if peers and _PEERS.exists():
            found.append({"path": _PATH, "beside": _beside(folder, whole)})
    return found


def _measured(rows: int, pairs: int, folder: Path) -> tuple[Compared, Compared]:
    """All of it, and a second window; the frames are left in the folder as Parquet."""
    reference, window = make_frame(rows, 1), make_frame(rows, 2, moved=True)
    kept, stored = reference_by_hand(reference), to_bytes(profile(reference))
    whole = compare(
        lambda: _cpu(lambda: whole_by_hand(reference, window)),
        lambda: _cpu(lambda: whole_report(reference, window, folder)),
        pairs,
    )
    second = compare(
        lambda: _cpu(lambda: window_by_hand(window, kept)),
        lambda: _cpu(lambda: window_report(window, stored, folder)),
        pairs,
    )
    reference.write_parquet(folder / "reference.parquet")
    window.write_parquet(folder / "window.parquet")
    return whole, second


def _merged(folder: Path, replicas: int = 8, rounds: int = 20) -> float:
    """A day's hours of all replicas, as they are stored, added up to the day's profile; milliseconds."""
    flat = Flat(from_bytes((folder / "reference.bin").read_bytes()))
    window = pl.read_parquet(folder / "window.parquet")
    hours = np.array_split(np.arange(window.height), replicas * 24)
    counts = [flat.counts(profile(window[rows], flat.reference)) for rows in hours]
    spent = _cpu(lambda: [flat.profile(np.sum(counts, axis=0)) for _ in range(rounds)])
    assert flat.profile(np.sum(counts, axis=0)) == profile(window, flat.reference)
    return 1000 * spent / rounds


def _only(what: str, value: float, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": None, "slipway": value, "ratio": None, **goal}


_ALONE = """
import sys
from pathlib import Path
import polars as pl
from benchmarks.drift_report import window_report
from slipway.stats.profiles import profile, to_bytes
folder = Path(sys.argv[1])
reference, window = (pl.read_parquet(folder / f"{name}.parquet") for name in ("reference", "window"))
window_report(window, to_bytes(profile(reference)), folder)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def _peak(folder: Path) -> float:
    """Both frames in memory; GiB. Of the process itself: what `getrusage` says, a child has from who started it."""
    asked = [sys.executable, "-c", _ALONE, str(folder)]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return int(told.stdout) / 1024**2


def _beside(folder: Path, ours: Compared) -> str:
    """The peers' figures, each in a process of its own."""
    lines = ["| tool | CPU s | of raw | peak GiB |", "|---|---:|---:|---:|"]
    lines.append(f"| raw Polars | {ours.raw:.2f} | 1x | |")
    lines.append(f"| Slipway | {ours.slipway:.2f} | {ours.ratio:.2f}x | |")
    script = Path(__file__).with_name("peers") / "drift_peers.py"
    for tool in ("evidently", "nannyml"):
        told = subprocess.run(
            [str(_PEERS), str(script), tool, str(folder)], capture_output=True, text=True, check=False
        )
        if told.returncode:
            reason = told.stderr.strip().splitlines()[-1:] or ["no word"]
            lines.append(f"| {tool} | does not run: {reason[0][:120].replace('|', '/')} | | |")
            continue
        figures = json.loads(told.stdout.strip().splitlines()[-1])
        cpu = figures["cpu_s"]
        lines.append(f"| {tool} {figures['version']} | {cpu:.1f} | {cpu / ours.raw:.0f}x | {figures['peak_gib']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for line in run(*map(int, sys.argv[1:])):
        print(line)
