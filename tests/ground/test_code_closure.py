"""What must change the hash of a code closure, and what must not."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from fresh_projects import Files, imported

from slipway.code import CodeClosure, closure, explain_change


class Make:
    """Closures of `train.train` in projects that differ in some files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def __call__(self, files: Files, target: str = "train:train") -> CodeClosure:
        self.count += 1
        module, name = target.split(":")
        with imported(self.folder / f"place{self.count}", files, module) as found:
            return closure(getattr(found, name))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


BASE: Files = {
    "train.py": '''
        """Trains."""
        import functools
        import math
        import helpers
        import deep as d
        from helpers import clean, LIMIT
        from shapes import Model
        from marks import marked, with_marks

        STEPS = {"a": 1, "b": [1, 2]}
        OFFSET = 1
        TABLE = {}
        TABLE["x"] = 1
        DISPATCH = {"one": helpers.first, "two": helpers.second}
        adder = helpers.make_adder(3)
        small = lambda x: x + 1
        fixed = functools.partial(helpers.scaled, by=2)
        model = Model(4)
        UNUSED = 1

        def own(x):
            return x - 1

        def unused(x):
            return x

        @with_marks(5)
        @marked
        def train(rows: list, rate: float = 0.1, *, depth=OFFSET):
            """Train it."""
            # a comment
            total = 0
            for row in clean(rows):
                total += own(row) * rate + LIMIT + STEPS["a"] + TABLE["x"]
            total = helpers.outer(total) + d.level.bottom(total) + adder(1) + small(2) + fixed(3)
            total += model.fit(total) + DISPATCH["one"](total) + math.pi
            from later import late
            return late(total)
    ''',
    "helpers.py": """
        LIMIT = 10
        DEEP = 5

        def clean(rows):
            return [r for r in rows if r < LIMIT]

        def outer(x):
            return inner(x)

        def inner(x):
            def nested(y):
                return y * DEEP
            return nested(x)

        def make_adder(n):
            def add(x):
                return x + n
            return add

        def first(x):
            return x

        def second(x):
            return -x

        def scaled(x, by):
            return x * by

        def unreached(x):
            return x + 99
    """,
    "deep/__init__.py": "from . import level\n",
    "deep/level.py": """
        from .below import floor as _floor

        def bottom(x):
            return _floor(x)
    """,
    "deep/below.py": """
        FACTOR = 3

        def floor(x):
            return x // FACTOR
    """,
    "shapes.py": """
        class Base:
            scale = 2

            def fit(self, x):
                return self.step(x) * self.scale

        class Model(Base):
            names = ["a"]

            class Inner:
                value = 1

            def __init__(self, size):
                self.size = size

            def step(self, x):
                return x + self.size

            @property
            def width(self):
                return self.size * 2

            @staticmethod
            def helper(x):
                return x
    """,
    "marks.py": """
        import functools

        def marked(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                return function(*args, **kwargs)
            return call

        def with_marks(n):
            def mark(function):
                @functools.wraps(function)
                def call(*args, **kwargs):
                    return function(*args, **kwargs)
                call.marks = n
                return call
            return mark
    """,
    "later.py": """
        def late(x):
            return x
    """,
}


def changed(*edits: tuple[str, str, str]) -> Files:
    """The base project with one text replaced by another in a file; the text must be there."""
    files = dict(BASE)
    for path, before, after in edits:
        assert files[path].count(before) >= 1, before
        files[path] = files[path].replace(before, after, 1)
    return files


MUST_CHANGE: dict[str, tuple[tuple[str, str, str], str]] = {
    "body": (("train.py", "own(row) * rate", "own(row) / rate"), "function train:train changed"),
    "helper in the same module": (("train.py", "return x - 1", "return x - 2"), "helper train:own changed"),
    "helper in another module": (("helpers.py", "if r < LIMIT", "if r <= LIMIT"), "helper helpers:clean changed"),
    "helper of a helper": (("helpers.py", "return nested(x)", "return nested(x) + 1"), "helper helpers:inner changed"),
    "nested function in a helper": (("helpers.py", "return y * DEEP", "return y + DEEP"), "helper helpers:inner changed"),
    "helper behind a package": (("deep/below.py", "x // FACTOR", "x / FACTOR"), "helper deep.below:floor changed"),
    "constant elsewhere": (("deep/below.py", "FACTOR = 3", "FACTOR = 4"), "constant deep.below:FACTOR changed"),
    "constant imported": (("helpers.py", "LIMIT = 10", "LIMIT = 11"), "constant helpers:LIMIT changed"),
    "int to float": (("helpers.py", "LIMIT = 10", "LIMIT = 10.0"), "constant helpers:LIMIT changed"),
    "int to text": (("helpers.py", "DEEP = 5", 'DEEP = "5"'), "constant helpers:DEEP changed"),
    "int to bool": (("train.py", "OFFSET = 1", "OFFSET = True"), "constant train:OFFSET changed"),
    "inside a container": (("train.py", '"b": [1, 2]', '"b": [1, 3]'), "constant train:STEPS changed"),
    "list to tuple": (("train.py", '"b": [1, 2]', '"b": (1, 2)'), "constant train:STEPS changed"),
    "order of a dictionary": (("train.py", '{"a": 1, "b": [1, 2]}', '{"b": [1, 2], "a": 1}'), "constant train:STEPS changed"),
    "item set later": (("train.py", 'TABLE["x"] = 1', 'TABLE["x"] = 2'), "constant train:TABLE changed"),
    "constant of a default": (("train.py", "OFFSET = 1", "OFFSET = 2"), "constant train:OFFSET changed"),
    "method": (("shapes.py", "return x + self.size", "return x - self.size"), "class shapes:Model changed"),
    "method of a base": (("shapes.py", "self.step(x) * self.scale", "self.step(x)"), "class shapes:Base changed"),
    "attribute of a base": (("shapes.py", "scale = 2", "scale = 3"), "class shapes:Base changed"),
    "attribute of a class": (("shapes.py", 'names = ["a"]', 'names = ["b"]'), "class shapes:Model changed"),
    "nested class": (("shapes.py", "value = 1", "value = 2"), "class shapes:Model changed"),
    "property": (("shapes.py", "self.size * 2", "self.size * 3"), "class shapes:Model changed"),
    "static method": (("shapes.py", "return x\n", "return -x\n"), "class shapes:Model changed"),
    "bases": (("shapes.py", "class Model(Base)", "class Model(object)"), "class shapes:Model changed"),
    "state of an instance": (("train.py", "Model(4)", "Model(5)"), "constant train:model changed"),
    "default": (("train.py", "rate: float = 0.1", "rate: float = 0.2"), "function train:train changed"),
    "annotation": (("train.py", "rows: list", "rows: tuple"), "function train:train changed"),
    "closure cell": (("train.py", "make_adder(3)", "make_adder(4)"), "helper train:adder changed"),
    "body of a closure": (("helpers.py", "return x + n", "return x - n"), "helper train:adder changed"),
    "lambda": (("train.py", "lambda x: x + 1", "lambda x: x + 2"), "helper train:small changed"),
    "partial's argument": (("train.py", "by=2", "by=3"), "constant train:fixed changed"),
    "partial's function": (("helpers.py", "return x * by", "return x / by"), "helper helpers:scaled changed"),
    "function in a table": (("helpers.py", "return -x", "return +x"), "helper helpers:second changed"),
    "table points elsewhere": (("train.py", '"two": helpers.second', '"two": helpers.first'), "constant train:DISPATCH changed"),
    "decorator": (("marks.py", "return function(*args, **kwargs)", "return function(*args)"), "helper marks:marked changed"),
    "decorator's argument": (("train.py", "@with_marks(5)", "@with_marks(6)"), "function train:train changed"),
    "decorator removed": (("train.py", "        @marked\n", ""), "function train:train changed"),
    "import inside the function": (("later.py", "return x", "return x + 1"), "helper later:late changed"),
    "import points elsewhere": (("deep/level.py", "floor as _floor", "FACTOR as _floor"), "helper deep.level:bottom changed"),
    "keyword of a call": (("train.py", 'STEPS["a"]', 'STEPS["b"]'), "function train:train changed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MUST_CHANGE)
def test_what_must_change_the_hash_does_and_is_named(kind: str, make: Make) -> None:
    edit, sentence = MUST_CHANGE[kind]
    before, after = make(BASE), make(changed(edit))
    assert before.hash != after.hash
    assert sentence in explain_change(before, after)


MUST_NOT_CHANGE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "place": (),
    "comment": (("train.py", "# a comment", "# another comment"),),
    "docstring": (("train.py", "Train it.", "Train it well."),),
    "docstring added": (("helpers.py", "def first(x):\n", 'def first(x):\n            """The first."""\n'),),
    "docstring of a class": (("shapes.py", "scale = 2", '"""A base."""\n            scale = 2'),),
    "docstring of a module": (("train.py", "Trains.", "Trains models."),),
    "layout": (("train.py", "total = 0", "total  =  (0)"),),
    "blank lines above": (("helpers.py", "def clean", "\n\n\n        def clean"),),
    "unreached function": (("helpers.py", "x + 99", "x + 98"),),
    "unreached function of the module": (("train.py", "            return x\n", "            return x * 2\n"),),
    "unreached constant": (("train.py", "UNUSED = 1", "UNUSED = 2"),),
    "unreached import": (("helpers.py", "DEEP = 5", "DEEP = 5\n        import json"),),
    "new function": (("deep/below.py", "FACTOR = 3", "FACTOR = 3\n\n        def other():\n            return 1"),),
    "value computed otherwise": (("helpers.py", "LIMIT = 10", "LIMIT = 5 + 5"),),
    "quotes": (("train.py", 'STEPS["a"]', "STEPS['a']"),),
    "type checking": (
        (
            "train.py",
            "OFFSET = 1",
            "from typing import TYPE_CHECKING\n        if TYPE_CHECKING:\n            OFFSET = 9\n        OFFSET = 1",
        ),
    ),
    "main block": (("train.py", "UNUSED = 1", 'if __name__ == "__main__":\n            OFFSET = 7'),),
}


@pytest.mark.parametrize("kind", MUST_NOT_CHANGE)
def test_what_must_not_change_the_hash_does_not(kind: str, make: Make) -> None:
    before, after = make(BASE), make(changed(*MUST_NOT_CHANGE[kind]))
    assert explain_change(before, after) == []
    assert before == after


def test_the_time_of_a_file_does_not_count(tmp_path: Path) -> None:
    with imported(tmp_path, BASE, "train") as module:
        before = closure(module.train)
    for path in tmp_path.rglob("*.py"):
        os.utime(path, (1, 1))
    with imported(tmp_path, {}, "train") as module:
        assert closure(module.train).hash == before.hash


def test_everything_reached_is_an_entry_and_nothing_else(make: Make) -> None:
    found = make(BASE)
    assert found.root == "train:train"
    assert {name for name in found.entries if name.startswith("helpers:")} == {
        "helpers:LIMIT", "helpers:DEEP", "helpers:clean", "helpers:outer", "helpers:inner", "helpers:first",
        "helpers:second", "helpers:scaled",
    }  # fmt: skip
    assert "train:unused" not in found.entries
    assert found.notes == ()


def test_a_closure_is_plain_json_and_comes_back(make: Make) -> None:
    found = make(BASE)
    assert msgspec.json.decode(msgspec.json.encode(found), type=CodeClosure) == found


def test_the_hash_is_the_same_in_another_process(tmp_path: Path) -> None:
    with imported(tmp_path, BASE, "train") as module:
        here = closure(module.train).hash
    code = "import train; from slipway.code import closure; print(closure(train.train).hash)"
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == here


def test_a_script_hashes_as_the_module_that_it_would_be(tmp_path: Path) -> None:
    text = """
        import logging
        log = logging.getLogger(__name__)
        def train():
            log.info("x")
        if __name__ == "__main__":
            from slipway.code import closure
            print(closure(train).hash)
    """
    with imported(tmp_path, {"script.py": text}, "script") as module:
        here = closure(module.train).hash
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here
