"""Trivial steps with Hamilton, its cache on disk: `python hamilton_steps.py SHAPE STEPS FOLDER` prints seconds as JSON."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

from hamilton import driver


def module_of(folder: Path, shape: str, steps: int) -> ModuleType:
    """A module of as many functions as steps: Hamilton's graph is made of functions' names."""
    if shape == "sequence":
        lines = ["def f0(start: int) -> int:\n    return start + 1\n"]
        lines += [f"def f{n}(f{n - 1}: int) -> int:\n    return f{n - 1} + 1\n" for n in range(1, steps)]
    else:
        lines = [f"def f{n}(start: int) -> int:\n    return (start + {n}) * (start + {n})\n" for n in range(steps)]
    path = folder / f"{shape}_functions.py"
    path.write_text("\n".join(lines))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    shape, steps, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    functions = module_of(folder, shape, steps)
    wanted = [f"f{steps - 1}"] if shape == "sequence" else [f"f{n}" for n in range(steps)]
    seconds, answers = [], []
    for _ in range(2):  # a driver of its own each time, as a process that runs the pipeline anew has
        built = driver.Builder().with_modules(functions).with_cache(path=str(folder / "cache")).build()
        started = time.perf_counter()
        answers.append(built.execute(wanted, inputs={"start": 0}))
        seconds.append(time.perf_counter() - started)
    assert answers[0] == answers[1]
    print(json.dumps({"first": seconds[0], "again": seconds[1]}))


main()
