"""`python -m benchmarks [--only NAME ...] [--full]`: measure every path, print the tables, and write RESULTS.md.

With `--only` nothing is written, unless `--write` puts the path's section in its place: it then says when it was measured by
itself. `--full` takes the largest sizes too.
"""

import argparse
import importlib
import inspect
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import Any

NAMES = (
    "step_overhead",
    "pipelines_peers",
    "search_trials",
    "point_in_time_join",
    "training_batches",
    "larger_than_memory",
    "materialise",
    "online_lookup",
    "online_redis",
    "scalar_features",
    "one_row_prediction",
    "compiled_models",
    "serving_peers",
    "serving_promises",
    "rollout_faults",
    "ledger",
    "ledger_postgres",
    "metric_ingest",
    "run_search",
    "pages",
    "first_paint",
    "many_endpoints",
    "run_logging",
    "table_versions",
    "table_checks",
    "start_up",
    "object_blobs",
    "mlflow_server",
    "first_minutes",
    "rollout_decisions",
    "late_labels",
    "estimated_performance",
    "drift_report",
    "drift_verdicts",
    "drift_watch",
    "injected_faults",
    "soak",
)
RESULTS = Path(__file__).with_name("RESULTS.md")

_INTRO = """\
# Benchmarks

Written by `make bench`; one path alone: `python -m benchmarks --only {first}`. Each path runs beside the raw operation,
the least that does the same work by hand, on the same machine, in the same run and in turns (raw, Slipway, Slipway,
raw, ...), on made data that is the same every time. A ratio is the median of the ratios within the turns, above 1 where
Slipway takes more; **only ratios are claims**. Absolute figures belong to this machine at this hour, and are there to
judge the ratio by. A goal in a unit was set on a machine of this class; where raw is slower than usual, so is Slipway.

This run: {cores} shared cores, {system}, Python {python}; {minutes:.1f} minutes, load average {before:.1f} before and
{after:.1f} after (above {cores} the machine also did other work, and single figures swing).
"""


def section(module: Any, rows: list[dict[str, Any]]) -> str:
    """A path's part of the page: its heading, how it is measured, the table and the remark."""
    lines = [f"## {rows[0]['path'][0].upper()}{rows[0]['path'][1:]}", "", module.__doc__.strip(), ""]
    lines += ["| what | raw | Slipway | ratio | goal |", "|---|---:|---:|---:|---|"]
    lines += [_line(row) for row in rows if "what" in row]
    for row in rows:
        if "beside" in row:  # a table of a path's own, where more than two sides are compared
            lines += ["", row["beside"]]
    if module.REMARK:
        lines += ["", module.REMARK.strip()]
    return "\n".join(lines) + "\n"


def placed(page: str, made: str) -> str:
    """The page with a section in the place of the one of its heading, or at the end where there is none yet."""
    parts = re.split(r"(?m)^(?=## )", page)
    title = made.partition("\n")[0]
    found = [number for number, part in enumerate(parts) if part.partition("\n")[0] == title]
    parts[found[0] if found else len(parts) :] = [made.rstrip("\n") + "\n\n", *(parts[found[0] + 1 :] if found else [])]
    return "".join(part.rstrip("\n") + "\n\n" for part in parts).rstrip("\n") + "\n"


def _line(row: dict[str, Any]) -> str:
    ratio = "" if row["ratio"] is None else f"{_figure(row['ratio'])}x"
    cells = [row["what"], "" if row["raw"] is None else _figure(row["raw"]), _figure(row["slipway"]), ratio, _goal(row)]
    return f"| {' | '.join(cells)} |"


def _goal(row: dict[str, Any]) -> str:
    if "goal_ratio" in row:
        is_met, words = row["ratio"] <= row["goal_ratio"], f"{row['goal_ratio']:.3g}x"
    elif "goal_least" in row:
        words = f"{row['goal_least']:g}"
        return f"at least {words}: {'met' if row['slipway'] >= row['goal_least'] else '**missed**'}"
    elif "goal" in row:
        is_met, words = row["slipway"] <= row["goal"], f"{row['goal']:g}"
    else:
        return ""
    return f"at most {words}: {'met' if is_met else '**missed**'}"


def _figure(value: float) -> str:
    """Three digits that count; whole numbers whole."""
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Hot paths beside the raw operation.")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--full", action="store_true", help="the largest sizes too, where a path has such")
    parser.add_argument("--write", action="store_true", help="with --only: put its section into RESULTS.md")
    given = parser.parse_args()
    only = given.only
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started, before = time.monotonic(), os.getloadavg()[0]
    sections = []
    for name in only or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        more = {"full": True} if given.full and "full" in inspect.signature(module.run).parameters else {}
        rows = module.run(**more)
        if not rows:
            print(f"{name}: its server does not answer here", file=sys.stderr, flush=True)
            continue
        sections.append(section(module, rows))
        print(sections[-1], flush=True)
    if only:
        for made in sections if given.write else ():
            own = f"Measured by itself: load average {before:.1f} before and {os.getloadavg()[0]:.1f} after.\n"
            RESULTS.write_text(placed(RESULTS.read_text(), f"{made}\n{own}"))
        return
    intro = _INTRO.format(
        first=NAMES[0],
        cores=os.cpu_count(),
        system=platform.system(),
        python=platform.python_version(),
        minutes=(time.monotonic() - started) / 60,
        before=before,
        after=os.getloadavg()[0],
    )
    RESULTS.write_text("\n".join([intro, *sections]))


if __name__ == "__main__":
    main()
