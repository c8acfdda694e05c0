"""Trivial steps with Dagster in this process, an instance on disk: `python dagster_steps.py SHAPE STEPS FOLDER`.

Prints seconds as JSON. Again is a whole run again: Dagster marks what is stale and skips nothing.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, FilesystemIOManager, GraphDefinition, In, job, op


@op
def begin() -> int:
    return 0


@op(ins={"n": In(int)})
def increase(n):
    return n + 1


def sequence(steps: int) -> Any:
    @job
    def increased() -> None:
        value = begin()
        for _ in range(steps - 1):
            value = increase(value)

    return increased


def fan_out(steps: int) -> Any:
    @job
    def squares() -> None:
        value = begin()
        for _ in range(steps - 1):
            increase(value)

    return squares


def main() -> None:
    shape, steps, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    logging.disable(logging.CRITICAL)
    made: GraphDefinition = {"sequence": sequence, "fan-out": fan_out}[shape](steps)
    seconds = []
    with DagsterInstance.local_temp(tempdir=str(folder)) as instance:
        for _ in range(2):
            started = time.perf_counter()
            done = made.execute_in_process(
                instance=instance, resources={"io_manager": FilesystemIOManager(base_dir=str(folder / "values"))}
            )
            seconds.append(time.perf_counter() - started)
            assert done.success
    print(json.dumps({"first": seconds[0], "again": seconds[1]}))


main()
