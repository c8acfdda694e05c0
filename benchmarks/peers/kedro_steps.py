"""Trivial steps with Kedro, each result pickled on disk: `python kedro_steps.py SHAPE STEPS FOLDER` prints seconds as JSON.

Again is Kedro's only way not to compute: it runs what has no file yet, whatever changed since.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from kedro_datasets.pickle import PickleDataset


def increase(n: int) -> int:
    return n + 1


def square_after(number: int) -> Callable[[int], int]:
    def square(start: int) -> int:
        return (start + number) * (start + number)

    return square


def main() -> None:
    shape, steps, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if shape == "sequence":
        nodes = [node(increase, f"v{n}", f"v{n + 1}", name=f"n{n}") for n in range(steps)]
        start, made = "v0", [f"v{n + 1}" for n in range(steps)]
    else:
        nodes = [node(square_after(n), "start", f"v{n}", name=f"n{n}") for n in range(steps)]
        start, made = "start", [f"v{n}" for n in range(steps)]
    logging.disable(logging.CRITICAL)
    seconds = []
    for only_missing in (False, True):
        catalog = DataCatalog({start: MemoryDataset(0)})
        for name in made:
            catalog[name] = PickleDataset(filepath=str(folder / f"{name}.pickle"))
        started = time.perf_counter()
        SequentialRunner().run(Pipeline(nodes), catalog, only_missing_outputs=only_missing)
        seconds.append(time.perf_counter() - started)
        assert catalog.load(made[-1]) in (steps, (steps - 1) ** 2)
    print(json.dumps({"first": seconds[0], "again": seconds[1]}))


main()
