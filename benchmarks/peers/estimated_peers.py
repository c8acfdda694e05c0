"""NannyML's estimate of AUC without labels, of windows in Parquet files, each with rows of its own that calibrate it.

`python estimated_peers.py FOLDER`, in the environment of requirements/monitoring-peers.txt. The folder holds `0000-known.parquet`
(score, label and decision) and `0000-window.parquet` (score and decision) and so on. A window is one chunk.
"""

import json
import os
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import pandas as pd

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
os.environ["DO_NOT_TRACK"] = "1"


def estimate(known: pd.DataFrame, window: pd.DataFrame) -> tuple[float, float]:
    """The AUC that is estimated, and its sampling error."""
    import nannyml as nml

    estimator = nml.CBPE(
        problem_type="classification_binary",
        y_true="label",
        y_pred="decision",
        y_pred_proba="score",
        metrics=["roc_auc"],
        chunk_number=1,
    )
    found = estimator.fit(known).estimate(window).filter(period="analysis").to_df()["roc_auc"]
    return float(found["value"].iloc[0]), float(found["sampling_error"].iloc[0])


def main() -> None:
    """Estimate every window."""
    warnings.simplefilter("ignore")
    folder, told, spent = Path(sys.argv[1]), [], 0.0
    for path in sorted(folder.glob("*-known.parquet")):
        known = pd.read_parquet(path)
        window = pd.read_parquet(path.with_name(path.name.replace("known", "window")))
        started = time.process_time()
        told.append(estimate(known, window))
        spent += time.process_time() - started
    print(json.dumps({"told": told, "cpu_s": spent, "version": version("nannyml")}))


if __name__ == "__main__":
    main()
