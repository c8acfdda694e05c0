"""Evidently's drift report or NannyML's univariate drift over two Parquet files: CPU seconds of the analysis, and the peak.

`python drift_peers.py evidently|nannyml FOLDER`, in the environment of requirements/monitoring-peers.txt. Reading the files is
not counted. What each does by default is asked, with its report written where it has one.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
os.environ["DO_NOT_TRACK"] = "1"


def evidently(reference: pd.DataFrame, window: pd.DataFrame, folder: Path) -> None:
    """The preset for drift, saved as a page."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    report = Report([DataDriftPreset()])
    report.run(window, reference).save_html(str(folder / "evidently.html"))


def nannyml(reference: pd.DataFrame, window: pd.DataFrame, folder: Path) -> None:
    """Jensen-Shannon distance of every column in ten chunks."""
    import nannyml as nml

    calculator = nml.UnivariateDriftCalculator(column_names=list(reference.columns), chunk_number=10)
    calculator.fit(reference)
    calculator.calculate(window).to_df().to_csv(folder / "nannyml.csv")


def main() -> None:
    """Measure the tool that is named."""
    tool, folder = sys.argv[1], Path(sys.argv[2])
    work = {"evidently": evidently, "nannyml": nannyml}[tool]
    reference, window = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "window"))
    started = time.process_time()
    work(reference, window, folder)
    spent = time.process_time() - started
    told = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()
    figures = {"cpu_s": spent, "peak_gib": int(told[0]) / 1024**2, "version": version(tool)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
