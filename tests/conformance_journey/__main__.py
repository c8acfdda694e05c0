"""Go through the journey in one column or both; with `--write`, make docs/conformance.md of both.

From the folder `tests`: `python -m conformance_journey [--write] [embedded | scaled]`.
"""

import sys
import tempfile
import time
from pathlib import Path

from conformance_journey.behaviours import BEHAVIOURS, sentence
from conformance_journey.journey import name_of, walked
from conformance_journey.page import PAGE, written
from conformance_journey.world import COLUMNS


def main(*given: str) -> int:
    """Go through what is asked; gives the number of failures."""
    columns = [one for one in COLUMNS if one in given] or list(COLUMNS)
    failed: dict[str, dict[str, str]] = {}
    for column in columns:
        began, took = time.perf_counter(), dict[str, float]()
        with tempfile.TemporaryDirectory() as home:
            failed[column] = walked(column, Path(home), took)
        for name, told in failed[column].items():
            print(f"--- {column}: {name}\n{told}")
        for name in sorted(took, key=lambda one: took[one])[-12:]:
            print(f"{took[name]:6.2f} s  {name}")
        seconds = time.perf_counter() - began
        print(f"{column}: {len(took)} behaviours, {len(failed[column])} failed, {seconds:.1f} s", flush=True)
    if "--write" in given and set(columns) == set(COLUMNS):
        PAGE.write_text(written(failed, {sentence(one): name_of(one) for one in BEHAVIOURS}))
    return sum(map(len, failed.values()))


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
