"""Random mixtures of changes, held against the same pipeline without a cache."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fresh_steps import Fresh

from slipway.ports.workspace import Workspace

CODE = """
import os
from pathlib import Path
from tools import deep
from tools.shape import FACTOR, Scaler


def twice(x):
    # COMMENT
    return 2 * x


@sw.step
def load(n):
    with open("in.txt") as file:
        return [int(file.read()) + n, deep.limit()]


@sw.step
def scale(rows):
    return [Scaler(FACTOR).apply(twice(row)) for row in rows] + [os.environ.get("RATE", "none")]


@sw.step
def listing():
    return sorted(os.listdir("d")), Path("flag").exists()


@sw.step
def answer(scaled, names, floor=0):
    return [str(one) for one in scaled], names, floor


@sw.pipeline
def release(n=1, floor=0):
    return answer(scale(load(n)), listing(), floor)
# file: tools/deep.py
BOUND = 5


def limit():
    return BOUND + 1


def unreached():
    return 1
# file: tools/shape.py
FACTOR = 3


class Base:
    def apply(self, x):
        return x * self.by


class Scaler(Base):
    def __init__(self, by):
        self.by = by
"""

# What can be changed, and to which values; each is written so that every value can be told in the file.
TEXTS = {
    "body": ("flow.py", "+ n, deep", "- n, deep"),
    "helper": ("flow.py", "return 2 * x", "return 3 * x"),
    "default": ("flow.py", "names, floor=0):", "names, floor=1):"),
    "constant": ("tools/deep.py", "BOUND = 5", "BOUND = 6"),
    "type of a constant": ("tools/shape.py", "FACTOR = 3\n", "FACTOR = 3.0\n"),
    "base class": ("tools/shape.py", "x * self.by", "x + self.by"),
    "deep helper": ("tools/deep.py", "BOUND + 1", "BOUND + 2"),
}
IDLE = {
    "comment": ("flow.py", "# COMMENT", "# another"),
    "unreached": ("tools/deep.py", "    return 1\n", "    return 2\n"),
}
STATES: dict[str, list[Any]] = {
    "RATE": [None, "a", "b"],
    "in.txt": ["1", "2"],
    "d/b": [False, True],
    "flag": [False, True],
}
PARAMS: dict[str, list[Any]] = {"n": [1, 2, True], "floor": [0, 1, "0"]}


class Mixed:
    """The project, and what is set in it now."""

    def __init__(self, project: Fresh) -> None:
        self.project = project
        self.now: dict[str, Any] = dict.fromkeys((*TEXTS, *IDLE, *STATES, *PARAMS), 0)
        (project.data / "d").mkdir()
        for name in STATES:
            self._put(name, STATES[name][0])

    def change(self, name: str, to: int) -> None:
        if name in TEXTS or name in IDLE:
            if to != self.now[name]:
                file, *texts = (TEXTS | IDLE)[name]
                self.project.edit(file, texts[self.now[name]], texts[to])
        elif name in STATES:
            self._put(name, STATES[name][to])
        self.now[name] = to

    def _put(self, name: str, value: Any) -> None:
        path = self.project.data / name
        if name == "RATE":
            os.environ.pop("RATE", None)
            if value is not None:
                os.environ["RATE"] = value
        elif isinstance(value, str):
            path.write_text(value)
        elif value:
            path.touch()
        else:
            path.unlink(missing_ok=True)

    def params(self) -> dict[str, Any]:
        return {name: values[self.now[name]] for name, values in PARAMS.items()}

    def significant(self) -> tuple[Any, ...]:
        return tuple(value for name, value in self.now.items() if name not in IDLE)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    kept = os.environ.get("RATE")
    yield
    os.environ.pop("RATE", None)
    if kept is not None:
        os.environ["RATE"] = kept


def _walk(tmp_path: Path, workspace: Workspace, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    mixed = Mixed(Fresh(tmp_path, workspace, CODE))
    seen: set[tuple[Any, ...]] = set()
    for turn in range(rounds):
        for name in chance.sample(sorted(mixed.now), chance.randint(1, 3)) if turn else ():
            choices = STATES.get(name) or PARAMS.get(name) or [0, 1]
            mixed.change(name, chance.randrange(len(choices)))
        found = mixed.project.run(**mixed.params())
        plain = mixed.project.run(use_cache=False, **mixed.params())
        assert repr(found.value) == repr(plain.value), (seed, turn, mixed.now)
        if mixed.significant() in seen:
            assert found.computed == {}, (seed, turn, mixed.now)
        seen.add(mixed.significant())


def test_mixtures_give_what_no_cache_gives(tmp_path: Path, workspace: Workspace) -> None:
    _walk(tmp_path, workspace, seed=1, rounds=12)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_mixtures_give_what_no_cache_gives(seed: int, tmp_path: Path, workspace: Workspace) -> None:
    _walk(tmp_path, workspace, seed=seed, rounds=80)
