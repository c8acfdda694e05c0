"""The flagship's pipeline, from tables to a registered model, on batches of a stored training set and on a frame.

The year's flights are copied: each copy keeps its times (known up to an hour later) and has flights and planes of its own.
A fresh process runs `release` as it stands in `examples/flight_delays/`, raw with the frame, Slipway with `in_batches=true`.
Memory is the peak of the whole process (VmHWM), imports included. AUC is of the last fortnight, which taught nothing.

`--full` makes 50 copies, and runs `release` with `in_batches=true` and `parts=6` under a limit of a fifth of the frame, which the
kernel holds for the whole process (RLIMIT_DATA: private writable memory, in use or reserved). Raw is there the same on all
rows at once without a limit, whose booster is that of the frame, bit for bit.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.training_batches import in_fresh_process, peak_mb
from slipway.flows.release import run_pipeline
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import catalog, versions

COPIES = 4
FULL_COPIES = 50
PARTS = 6
REMARK = """\
Of all rows at once both give the same booster, bit for bit, and LightGBM keeps about 90 bytes a row of the flagship's 36
inputs. In parts (`sw.lightgbm_in_parts`) it keeps those of a part, and the booster is another one: its AUC stands beside
that of all rows at once.
"""

_PATH = "training larger than memory"
_FLAGSHIP = Path(__file__).resolve().parents[1] / "examples" / "flight_delays"
_SLICE = 4000
_FLIGHTS = 336_776
_UNTIL = date(2014, 1, 1)
_LEAST_BYTES = 600 << 20
_FRAME_BYTES = 312  # of a flight in the training set as a frame: 323, and one in 31 was never reported
_LEAN = {  # what only looks like need: memory that Polars has freed, and buffers of OpenBLAS' threads (75 MB each, reserved)
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0,retain:false,narenas:2",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_NO_MEMORY = ("memory allocation of", "MemoryError", "bad_alloc", "Unable to allocate")


def copied(flights: pl.DataFrame, copies: int) -> Iterator[pl.DataFrame]:
    """The flights many times over, in the order of time; the first copy is as it was."""
    ordered = flights.sort("asked_at")
    for start in range(0, ordered.height, _SLICE):
        part = ordered.slice(start, _SLICE)
        yield part
        for copy in range(1, copies):
            minutes = np.random.default_rng((copy, start)).integers(0, 60, part.height)
            later = pl.Series(minutes * 60_000_000).cast(pl.Duration("us"))
            yield part.with_columns(
                pl.format("{}/{}", "flight_id", pl.lit(copy)).alias("flight_id"),
                pl.format("{}/{}", "tailnum", pl.lit(copy)).alias("tailnum"),
                pl.col("known_at", "labelled_at") + later,
            )


def _prepare(folder: Path, copies: int, rows: int) -> None:
    flagship = _declared()
    workspace = open_workspace(folder, project="bench")
    flights = flagship.flights.function().head(rows)
    versions.overwrite(workspace, "flights", copied(flights, copies), key=("flight_id",), time="asked_at")
    weather = flagship.weather.function()
    versions.overwrite(workspace, "weather", weather, key=("origin", "observed_at"), time="observed_at")
    planes = flagship.planes.function()
    each = (planes.with_columns(pl.format("{}/{}", "tailnum", pl.lit(n)).alias("tailnum")) for n in range(1, copies))
    versions.overwrite(workspace, "planes", (frame for frame in (planes, *each)), key=("tailnum",))
    workspace.ledger.close()


def _declared() -> Any:
    sys.path.insert(0, str(_FLAGSHIP))
    import flight_delays

    return flight_delays


def _work(side: str, folder: Path, limit: int) -> dict[str, float | str]:
    """In a fresh process: seconds, the peak of memory, and what the model is worth.

    Args:
        side: "raw" for a frame, "slipway" for batches, "parts" for batches in parts.
        folder: Of the store.
        limit: How many bytes of private memory the process may have, 0 for any.
    """
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    flagship = _declared()
    workspace = open_workspace(folder, project="bench")
    size = catalog.head(workspace, "flights").rows * _FRAME_BYTES
    if side != "raw":
        workspace = replace(workspace, memory_bytes=limit // 3 or max(size // 10, _LEAST_BYTES))
    with current_workspace.filled(workspace):
        started = time.perf_counter()
        params = {"until": _UNTIL, "in_batches": side != "raw", "parts": PARTS if side == "parts" else 1}
        released = run_pipeline(workspace, flagship.release, params, endpoint=flagship.delays)
        seconds = time.perf_counter() - started
    workspace.ledger.close()
    model: Any = released.value
    auc = next(found.value for found in model.evaluation.metrics if (found.metric, found.slice) == ("auc", ""))
    return {"s": seconds, "MB": peak_mb(), "auc": auc, "of the frame": peak_mb() * (1 << 20) / size}


def frame_bytes(copies: int, rows: int = _FLIGHTS) -> int:
    """About how much memory the flagship's training set takes as a frame."""
    return min(rows, _FLIGHTS) * copies * _FRAME_BYTES


def limited(side: str, folder: str, limit: int) -> dict[str, float]:
    """What the flagship's run gives in a fresh process that may have so many bytes of private memory.

    Raises:
        MemoryError: It ended before its end.
    """
    command = [sys.executable, "-m", __name__, side, folder, str(limit)]
    environment = os.environ | _LEAN
    home = Path(__file__).resolve().parents[1]
    ended = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        why = next((line for line in lines if any(word in line for word in _NO_MEMORY)), lines[-1])
        raise MemoryError(
            f"The flagship's run ({side}) did not end under its limit of {limit >> 20:,} MB of private memory "
            f"(RLIMIT_DATA): {why.strip().rstrip('.')}. Give it more parts, or more memory."
        )
    found: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def run(copies: int = COPIES, rows: int = _FLIGHTS, *, full: bool = False) -> list[dict[str, Any]]:
    """Copies of the flights, of which so many are taken; with `full` the largest size too, under a limit."""
    return _beside_the_frame(copies, rows) + (_under_a_limit(FULL_COPIES) if full else [])


def _beside_the_frame(copies: int, rows: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        in_fresh_process(__name__, "prepare", folder, str(copies), str(rows))
        raw, ours, parts = (in_fresh_process(__name__, side, folder, "0") for side in ("raw", "slipway", "parts"))
    size = f"flagship on {copies}x"
    return [
        _row(f"{size}: seconds", ours["s"], raw["s"]),
        _row(f"{size}: peak of the process, MB", ours["MB"], raw["MB"]),
        _row(f"{size}: the same as a share of the frame", ours["of the frame"], raw["of the frame"]),
        _row(f"{size}: AUC", ours["auc"], raw["auc"]),
        _row(f"{size}: AUC in {PARTS} parts", parts["auc"], raw["auc"]),
    ]


def _under_a_limit(copies: int) -> list[dict[str, Any]]:
    limit = frame_bytes(copies) // 5
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        in_fresh_process(__name__, "prepare", folder, str(copies), str(_FLIGHTS))
        ours = limited("parts", folder, limit)
        raw = in_fresh_process(__name__, "slipway", folder, "0")  # finds the training set made
    size = f"flagship on {copies}x in {PARTS} parts, limited to a fifth"
    return [
        _row(f"flagship on {copies}x: its frame, MB", frame_bytes(copies) / (1 << 20)),
        _row(f"{size}: the limit, MB of private memory", limit / (1 << 20)),
        _row(f"{size}: peak of the process, MB", ours["MB"], raw["MB"]) | {"goal": limit >> 20},
        _row(f"{size}: the same as a share of the frame", ours["of the frame"], raw["of the frame"]) | {"goal": 0.2},
        _row(f"{size}: AUC", ours["auc"], raw["auc"]),
        _row(f"{size}: seconds", ours["s"]),
    ]


def _row(what: str, ours: float, raw: float | None = None) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": raw, "slipway": ours, "ratio": None if raw is None else ours / raw}


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        _prepare(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(_work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
