"""The flagship's pipeline, from tables to a registered model, on batches of a stored training set and on a frame.

The year's flights are copied: each copy keeps its times (known up to an hour later) and has flights and planes of its own.
A fresh process runs `release` as it stands in `examples/flight_delays/`, raw with the frame, Slipway with `in_batches=true`
and the setting `memory` at a tenth of the frame, at least 600 MB. Memory is the peak of the whole process (VmHWM), imports
included. `--full` makes 50 copies, without raw, and takes half an hour.
"""

import json
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
REMARK = """\
Both give the same booster, bit for bit. LightGBM keeps about 90 bytes a row of the flagship's 36 inputs (bins, labels, scores,
gradients, and the indices of bagging), which is what is left at the largest size; a `partial_fit` estimator keeps a batch.
"""

_PATH = "training larger than memory"
_FLAGSHIP = Path(__file__).resolve().parents[1] / "examples" / "flight_delays"
_SLICE = 4000
_UNTIL = date(2014, 1, 1)
_LEAST_BYTES = 600 << 20
_FRAME_BYTES = 322  # a row of the flagship's training set as a frame


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


def _work(side: str, folder: Path) -> dict[str, float | str]:
    """In a fresh process: seconds, the peak of memory, and what the model is worth."""
    flagship = _declared()
    workspace = open_workspace(folder, project="bench")
    size = catalog.head(workspace, "flights").rows * _FRAME_BYTES
    if side == "slipway":
        workspace = replace(workspace, memory_bytes=max(size // 10, _LEAST_BYTES))
    with current_workspace.filled(workspace):
        started = time.perf_counter()
        params = {"until": _UNTIL, "in_batches": side == "slipway"}
        released = run_pipeline(workspace, flagship.release, params, endpoint=flagship.delays)
        seconds = time.perf_counter() - started
    workspace.ledger.close()
    model: Any = released.value
    auc = next(found.value for found in model.evaluation.metrics if (found.metric, found.slice) == ("auc", ""))
    return {"s": seconds, "MB": peak_mb(), "auc": auc, "of the frame": peak_mb() * (1 << 20) / size}


def run(copies: int = COPIES, rows: int = 400_000, *, full: bool = False) -> list[dict[str, Any]]:
    """Copies of the flights, of which so many are taken; with `full` the largest size too, which has nothing beside it."""
    made = _size(copies, rows, is_beside_raw=True)
    return made + (_size(FULL_COPIES, rows, is_beside_raw=False) if full else [])


def _size(copies: int, rows: int, *, is_beside_raw: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        in_fresh_process(__name__, "prepare", folder, str(copies), str(rows))
        raw = in_fresh_process(__name__, "raw", folder) if is_beside_raw else None
        ours = in_fresh_process(__name__, "slipway", folder)
    words = {
        "s": "seconds",
        "MB": "peak of the process, MB",
        "of the frame": "the same as a share of the frame",
        "auc": "AUC",
    }
    return [
        {
            "path": _PATH,
            "what": f"flagship on {copies}x: {said}",
            "raw": None if raw is None else raw[unit],
            "slipway": ours[unit],
            "ratio": None if raw is None else ours[unit] / raw[unit],
        }
        for unit, said in words.items()
    ]


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        _prepare(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(_work(sys.argv[1], Path(sys.argv[2]))))
