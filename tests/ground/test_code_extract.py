"""Extraction keeps what is reached and nothing else, and extracted versions live side by side."""

import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fresh_projects import Files, cells, imported, write

from slipway.code import closure, extract, load_extracted, reference
from slipway.errors import Corrupt, InvalidDeclaration

FLIGHTS: Files = {
    "flights/__init__.py": '"""The whole project."""\nfrom flights.training import train\n',
    "flights/clock.py": '''
        """Time."""
        from __future__ import annotations
        from datetime import datetime, timedelta
        from zoneinfo import ZoneInfo
        import polars as pl

        NEW_YORK = ZoneInfo("America/New_York")
        MARGIN = timedelta(minutes=5)
        HOLIDAYS = pl.Series([1, 2, 25]).to_list()
        FRAME = pl.DataFrame({"a": [1]})

        def local(at: datetime) -> datetime:
            """The local time."""
            return (at + MARGIN).astimezone(NEW_YORK)

        def frames(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.join(FRAME, on="a")
    ''',
    "flights/features.py": '''
        """Features."""
        from datetime import date, datetime
        from typing import TYPE_CHECKING
        import math, json
        import polars as pl
        from . import clock
        from .clock import HOLIDAYS, frames as joined
        from .marks import feature

        if TYPE_CHECKING:
            import lightgbm as lgb

        NAMES = {"a": 1}; OTHER = 2
        NAMES["b"] = 3

        @feature
        def hour(scheduled: datetime) -> int:
            # the local hour
            return clock.local(scheduled).hour

        @feature
        def holiday(scheduled: datetime) -> bool:
            return clock.local(scheduled).day in HOLIDAYS

        def scaled(x: float, model: "lgb.Booster | pl.DataFrame | None" = None) -> float:
            return math.sqrt(x) * NAMES["b"]

        @feature
        def size(distance: float) -> float:
            return scaled(distance)

        def training(frame: pl.DataFrame) -> pl.DataFrame:
            return joined(frame)
    ''',
    "flights/marks.py": """
        class Feature:
            def __init__(self, function):
                self.__wrapped__ = function
            def __call__(self, *values):
                return self.__wrapped__(*values)

        def feature(function):
            return Feature(function)

        def unused():
            import lightgbm
    """,
    "flights/training.py": """
        import lightgbm
        import polars as pl
        from flights.features import training
        def train(rows: pl.DataFrame) -> object:
            return lightgbm.train({}, training(rows))
    """,
}


@pytest.fixture
def reduced(tmp_path: Path) -> dict[str, str]:
    pytest.importorskip("polars")
    pytest.importorskip("lightgbm")
    with imported(tmp_path / "project", FLIGHTS, "flights.features") as module:
        assert reference(module.hour) == "flights.features:hour"
        found = extract([module.hour, module.holiday, module.size])
    shutil.rmtree(tmp_path / "project")
    return found


def test_modules_are_reduced_to_what_is_reached(reduced: dict[str, str]) -> None:
    assert list(reduced) == [
        "flights/__init__.py",
        "flights/clock.py",
        "flights/features.py",
        "flights/marks.py",
    ]
    assert reduced["flights/__init__.py"] == ""
    text = "\n".join(reduced.values())
    for gone in ("polars", "lightgbm\n", "frames", "training", "unused", "FRAME", "json", "OTHER", "TYPE_CHECKING"):
        assert gone not in text, gone
    assert reduced["flights/clock.py"] == (
        "from __future__ import annotations\n"
        "from datetime import datetime, timedelta\n"
        "from zoneinfo import ZoneInfo\n"
        'NEW_YORK = ZoneInfo("America/New_York")\n'
        "MARGIN = timedelta(minutes=5)\n"
        "HOLIDAYS = [1, 2, 25]\n"
        "\n\ndef local(at: datetime) -> datetime:\n"
        '    """The local time."""\n'
        "    return (at + MARGIN).astimezone(NEW_YORK)\n"
    )
    assert 'NAMES = {"a": 1}\nNAMES["b"] = 3\n' in reduced["flights/features.py"]
    assert "    # the local hour\n" in reduced["flights/features.py"]


def test_extracted_code_runs_in_a_process_without_its_project_and_its_libraries(
    reduced: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    write(folder, reduced)
    code = """
import sys, json, typing
from datetime import datetime, timezone
from pathlib import Path
from slipway.code import load_extracted
module = load_extracted(Path(sys.argv[1]), ("flights.features",))["flights.features"]
at = datetime(2013, 1, 25, 12, tzinfo=timezone.utc)
answers = [module.hour(at), module.holiday(at), module.size(4.0)]
hints = str(typing.get_type_hints(module.hour.__wrapped__))
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"polars", "lightgbm", "numpy", "flights"})
print(json.dumps([answers, hints, heavy]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answers, hints, heavy = json.loads(done.stdout)
    assert answers == [7, True, 6.0]
    assert hints == "{'scheduled': <class 'datetime.datetime'>, 'return': <class 'int'>}"
    assert heavy == []
    assert not list(folder.rglob("__pycache__"))


def test_extracted_code_has_the_closure_that_it_was_taken_from(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    pytest.importorskip("lightgbm")
    with imported(tmp_path / "project", FLIGHTS, "flights.features") as module:
        before = closure(module.hour)
        found = extract([module.hour, module.holiday])
    with imported(tmp_path / "again", found, "flights.features") as module:
        assert closure(module.hour) == before


WAYS: dict[str, tuple[Files, list[str]]] = {
    "relative": ({"app/__init__.py": "", "app/main.py": "from .rows import f\ndef use(): return f()"}, ["app"]),
    "absolute": ({"app/__init__.py": "", "app/main.py": "from app.rows import f\ndef use(): return f()"}, ["app"]),
    "dotted": (
        {
            "app/__init__.py": "",
            "app/main.py": "import app.rows\nimport app.heavy\ndef use(): return app.rows.f()",
            "app/heavy.py": "POLARS = 'polars'",
        },
        ["app"],
    ),
    "re-exported": (
        {"app/__init__.py": "from .rows import f, g", "app/main.py": "from app import f\ndef use(): return f()"},
        ["app"],
    ),
    "star": ({"app/__init__.py": "", "app/main.py": "from .rows import *\ndef use(): return f()"}, ["app"]),
    "inside": (
        {"app/__init__.py": "", "app/main.py": "def use():\n    from app.rows import f\n    return f()"},
        ["app"],
    ),
    "inside, relative": (
        {"app/__init__.py": "", "app/main.py": "def use():\n    from . import rows\n    return rows.f()"},
        ["app"],
    ),
    "inside, dotted": (
        {"app/__init__.py": "", "app/main.py": "def use():\n    import app.rows\n    return app.rows.f()"},
        ["app"],
    ),
    "conditional": (
        {
            "app/__init__.py": "",
            "app/main.py": "try:\n    from .rows import f\nexcept ImportError:\n    f = None\ndef use(): return f()",
        },
        ["app"],
    ),
    "plain modules": ({"main.py": "from rows import f\ndef use(): return f()", "rows.py": "ROWS"}, []),
    "handed on": (
        {"app/__init__.py": "", "app/main.py": "from app import rows\nHELD = [rows]\ndef use(): return HELD[0].f()"},
        ["app"],
    ),
    "class": (
        {
            "app/__init__.py": "",
            "app/main.py": "from .rows import f\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 1\n    def go(self): return f()\ndef use(): return A().go()",
        },
        ["app"],
    ),
}


def way(name: str, number: int) -> tuple[Files, str, str]:
    files, _ = WAYS[name]
    rows = f"N = {number}\ndef g(): return N\ndef f(): return g()\ndef h():\n    import polars\n"
    packaged = "app/main.py" in files
    path = "app/rows.py" if packaged else "rows.py"
    return {**files, path: rows}, "app.main" if packaged else "main", path


@pytest.mark.parametrize("name", WAYS)
def test_two_versions_of_the_same_modules_live_side_by_side(name: str, tmp_path: Path) -> None:
    loaded = []
    for number in (1, 2):
        files, main, rows = way(name, number)
        with imported(tmp_path / f"project{number}", files, main) as module:
            found = extract([module.use])
        if name != "handed on":
            assert "polars" not in "".join(found.values())
        write(tmp_path / f"bundle{number}", found)
        loaded.append(load_extracted(tmp_path / f"bundle{number}", (main,))[main])
        assert rows in found
    assert [module.use() for module in loaded] == [1, 2]
    assert [module.use() for module in reversed(loaded)] == [2, 1]
    assert not {"app", "app.main", "app.rows", "main", "rows"} & set(sys.modules)


def test_loading_leaves_the_modules_that_were_there(tmp_path: Path) -> None:
    write(tmp_path / "bundle", {"shared.py": "N = 2\ndef use():\n    import shared\n    return shared.N\n"})
    before, path = dict(sys.modules), list(sys.path)
    with imported(tmp_path / "project", {"shared.py": "N = 1\n"}, "shared") as module:
        loaded = load_extracted(tmp_path / "bundle", ("shared",))["shared"]
        assert sys.modules["shared"] is module
        assert (module.N, loaded.N, loaded.use()) == (1, 2, 2)
        assert sys.modules["shared"] is module
    assert sys.path == path
    assert set(sys.modules) == set(before)


def test_loading_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, {"broken.py": "import inner\nraise RuntimeError('no')\n", "inner.py": ""})
    finders = list(sys.meta_path)
    with pytest.raises(RuntimeError, match="no"):
        load_extracted(tmp_path, ("broken",))
    assert not {"broken", "inner"} & set(sys.modules)
    assert sys.meta_path == finders
    with pytest.raises(Corrupt, match="The module other is not in"):
        load_extracted(tmp_path, ("other",))


def test_bytecode_in_the_folder_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path, {"plain.py": "N = 1\n"})
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import plain"], env=env, check=True)
    status = (tmp_path / "plain.py").stat()
    write(tmp_path, {"plain.py": "N = 2\n"})
    os.utime(tmp_path / "plain.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_extracted(tmp_path, ("plain",))["plain"].N == 2


def test_versions_are_loaded_and_run_from_many_threads(tmp_path: Path) -> None:
    for number in range(4):
        inner = f"def use():\n    from late import N\n    import late\n    return N, late.N, {number}\n"
        write(tmp_path / str(number), {"many.py": inner, "late.py": f"N = {number}\n"})
    found: list[tuple[int, Any]] = []

    def run(number: int) -> None:
        for _ in range(10):
            module = load_extracted(tmp_path / str(number), ("many",))["many"]
            found.append((number, module.use()))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert all(answer == (number, number, number) for number, answer in found)


def test_dropped_versions_are_freed(tmp_path: Path) -> None:
    write(tmp_path, {"freed.py": "class Big: pass\nBIG = Big()\ndef use(): return BIG\n"})
    loaded = load_extracted(tmp_path, ("freed",))
    big = weakref.ref(loaded["freed"].BIG)
    del loaded
    gc.collect()
    assert big() is None


# --- constants, notebooks, refusals ---


def test_computed_constants_become_their_values_and_others_stay(tmp_path: Path) -> None:
    text = """
        import os
        from datetime import date
        from pathlib import Path
        A = 1
        B = A + 1
        C = {"x": (1.5, None, b"y", {1}, frozenset(), "t")}
        D = dict(C, z=[B])
        E = date(2013, 1, 1)
        F = str(Path(__file__).parent)
        G = set()
        H: list[int] = sorted([3, 1])
        I = []
        for i in range(3):
            I.append(i)
        J = float("inf")
        K, L = B, B + 1
        def use(): return A, B, C, D, E, F, G, H, I, J, L
    """
    with imported(tmp_path / "project", {"constants.py": text}, "constants") as module:
        found = extract([module.use])["constants.py"]
        expected = module.use()
    for line in (
        "A = 1",
        "B = 2",
        "E = date(2013, 1, 1)",
        "F = str(Path(__file__).parent)",
        "G = set()",
        "H = [1, 3]",
        "I = []",
        "    I.append(i)",
        "K, L = B, B + 1",
    ):
        assert line in found.split("\n"), line
    assert "import os" not in found
    write(tmp_path / "bundle", {"constants.py": found})
    got = load_extracted(tmp_path / "bundle", ("constants",))["constants"].use()
    assert [value for i, value in enumerate(got) if i != 5] == [value for i, value in enumerate(expected) if i != 5]
    assert got[5] == str((tmp_path / "bundle").resolve())


def test_a_name_given_to_an_anonymous_object_can_be_taken(tmp_path: Path) -> None:
    text = "LIMIT = 3\nsmall = lambda x: x < LIMIT\nother = 1\n"
    with imported(tmp_path / "project", {"anonymous.py": text}, "anonymous") as module:
        found = extract([module.small])
    assert "other" not in found["anonymous.py"]
    write(tmp_path / "bundle", found)
    assert load_extracted(tmp_path / "bundle", ("anonymous",))["anonymous"].small(2) is True


def test_features_of_a_notebook_become_a_module(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    first = "import math\nfrom datetime import datetime as dt\nimport polars as pl\nLIMIT = 3\nFRAME = pl.DataFrame()\n"
    second = "def clean(x):\n    return min(x, LIMIT)\n\ndef feature(f):\n    return f\n"
    third = "class Late:\n    def go(self, at):\n        return clean(at.minute) * math.pi\n\n@feature\ndef late(at: dt) -> float:\n    return Late().go(at)\n\ndef framed():\n    return FRAME\n"
    with cells(first, second, third) as namespace:
        assert reference(namespace["late"]) == "notebook:late"
        found = extract([namespace["late"]])
        with pytest.raises(InvalidDeclaration, match="FRAME of the notebook is a DataFrame"):
            extract([namespace["framed"]])
    assert list(found) == ["notebook.py"]
    assert "polars" not in found["notebook.py"]
    write(tmp_path, found)
    late = load_extracted(tmp_path, ("notebook",))["notebook"].late
    assert round(late(datetime(2013, 1, 1, 0, 2, tzinfo=UTC)), 2) == 6.28


def test_what_cannot_be_imported_again_is_refused() -> None:
    def outer(n: int) -> Any:
        return lambda x: x + n

    with pytest.raises(InvalidDeclaration, match=r"outer.<locals>.<lambda> cannot be taken out of its project"):
        extract([outer(1)])


def test_code_edited_after_its_import_is_not_released(tmp_path: Path) -> None:
    with imported(tmp_path, {"edited.py": "def use():\n    return 1\n"}, "edited") as module:
        write(tmp_path, {"edited.py": "def use():\n    return 2\n"})
        with pytest.raises(InvalidDeclaration, match="edited:use was edited after it was imported"):
            extract([module.use])


def test_code_found_by_a_computed_name_takes_the_whole_project(tmp_path: Path) -> None:
    files = {
        "app/__init__.py": "",
        "app/main.py": "import importlib\ndef use(name): return importlib.import_module('app.' + name).N\n",
        "app/one.py": "N = 1\n",
        "app/inner/two.py": "N = 2\n",
    }
    with imported(tmp_path / "project", files, "app.main") as module:
        found = extract([module.use])
    assert set(found) == {*files, "app/inner/__init__.py"}


def test_a_module_that_nobody_installed_is_not_left_behind_in_silence(tmp_path: Path) -> None:
    write(tmp_path / "aside", {"beside.py": "def f(): return 1\n"})
    files = {"using.py": "from beside import f\ndef use(): return f()\n"}
    with imported(tmp_path / "aside", {}, "beside"), imported(tmp_path / "project", files, "using") as module:
        with pytest.raises(InvalidDeclaration, match="The module beside is neither in the project nor installed"):
            extract([module.use])
        found = extract([module.use], project_roots=(tmp_path,))
    assert set(found) == {"beside.py", "using.py"}


def test_nothing_gives_nothing() -> None:
    assert extract([]) == {}
