"""Evidently's or NannyML's default verdicts on drift of windows in Parquet files, beside one reference.

`python verdict_peers.py evidently|nannyml FOLDER`, in the environment of requirements/monitoring-peers.txt. The folder holds
`reference.parquet` and windows `0000.parquet` and so on. An alarm is any column that drifted. NannyML takes a window for one
chunk, and learns its thresholds from the reference in chunks as large as the window.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
os.environ["DO_NOT_TRACK"] = "1"


def evidently(reference: pd.DataFrame) -> Callable[[pd.DataFrame], bool]:
    """The count of drifted columns, by the tests that the preset for drift chooses; its page would cost five times as much."""
    from evidently import Report
    from evidently.metrics import DriftedColumnsCount

    def alarms(window: pd.DataFrame) -> bool:
        found = Report([DriftedColumnsCount()]).run(window, reference).dict()
        counts = [one["value"]["count"] for one in found["metrics"] if "DriftedColumnsCount" in str(one)]
        return bool(counts[0] > 0)

    return alarms


def nannyml(reference: pd.DataFrame) -> Callable[[pd.DataFrame], bool]:
    """Jensen-Shannon distance of every column."""
    import nannyml as nml

    fitted: dict[int, nml.UnivariateDriftCalculator] = {}

    def alarms(window: pd.DataFrame) -> bool:
        size = len(window)
        if size not in fitted:
            fitted[size] = nml.UnivariateDriftCalculator(column_names=list(reference.columns), chunk_size=size)
            fitted[size].fit(reference)
        found = fitted[size].calculate(window).filter(period="analysis").to_df()
        return bool(found.xs("alert", axis=1, level=-1).to_numpy().any())

    return alarms


def main() -> None:
    """Judge all windows by the tool that is named."""
    tool, folder = sys.argv[1], Path(sys.argv[2])
    judge = {"evidently": evidently, "nannyml": nannyml}[tool](pd.read_parquet(folder / "reference.parquet"))
    windows = sorted(path for path in folder.glob("*.parquet") if path.stem != "reference")
    print(json.dumps({"alarms": [judge(pd.read_parquet(path)) for path in windows], "version": version(tool)}))


if __name__ == "__main__":
    main()
