"""Kinds of objects that a function may reach, what is alive in them, and what is refused."""

import io
import re
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fresh_projects import Files, cells, imported, write

from slipway.code import closure, explain_change, reference, wheels
from slipway.code.libraries import version_of
from slipway.errors import InvalidDeclaration

PAIRS: dict[str, tuple[str, str]] = {
    "pattern": ("import re\nX = re.compile('a')", "import re\nX = re.compile('a', re.I)"),
    "numpy array": ("import numpy as np\nX = np.array([1, 2])", "import numpy as np\nX = np.array([1, 3])"),
    "numpy dtype": ("import numpy as np\nX = np.array([1, 2])", "import numpy as np\nX = np.array([1.0, 2.0])"),
    "numpy shape": ("import numpy as np\nX = np.zeros((2, 3))", "import numpy as np\nX = np.zeros((3, 2))"),
    "numpy scalar": ("import numpy as np\nX = np.float32(1)", "import numpy as np\nX = np.float64(1)"),
    "objects in an array": (
        "import numpy as np\nX = np.array(['a', None])",
        "import numpy as np\nX = np.array(['b', None])",
    ),
    "polars frame": ("import polars as pl\nX = pl.DataFrame({'a': [1]})", "import polars as pl\nX = pl.DataFrame({'b': [1]})"),
    "polars series": ("import polars as pl\nX = pl.Series([1, 2])", "import polars as pl\nX = pl.Series([1, 3])"),
    "polars expression": ("import polars as pl\nX = pl.col('a') + 1", "import polars as pl\nX = pl.col('a') + 2"),
    "polars type": ("import polars as pl\nX = pl.Datetime('us')", "import polars as pl\nX = pl.Datetime('ms')"),
    "date": ("from datetime import date\nX = date(2013, 1, 1)", "from datetime import date\nX = date(2013, 1, 2)"),
    "zone": ("from zoneinfo import ZoneInfo\nX = ZoneInfo('Europe/Rome')", "from zoneinfo import ZoneInfo\nX = ZoneInfo('UTC')"),
    "zone of an instant": (
        "from datetime import *\nX = datetime(2013, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))",
        "from datetime import *\nX = datetime(2013, 1, 1, 0, tzinfo=UTC)",
    ),
    "enum's value": (
        "from enum import Enum\nclass E(Enum):\n    A = 1\nX = E.A",
        "from enum import Enum\nclass E(Enum):\n    A = 2\nX = E.A",
    ),
    "dataclass field": (
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: int\nX = [D(1)]",
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: int\nX = [D(2)]",
    ),
    "dataclass method": (
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: int\n    def f(self): return 1\nX = [D(1)]",
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: int\n    def f(self): return 2\nX = [D(1)]",
    ),
    "struct": (
        "import msgspec\nclass S(msgspec.Struct):\n    a: int\nX = S(1)",
        "import msgspec\nclass S(msgspec.Struct):\n    a: int\nX = S(2)",
    ),
    "slots": (
        "class S:\n    __slots__ = ('a', '__b')\n    def __init__(self): self.a, self.__b = 1, 1\nX = S()",
        "class S:\n    __slots__ = ('a', '__b')\n    def __init__(self): self.a, self.__b = 1, int('2')\nX = S()",
    ),
    "named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\nX = P(1, 2)",
        "from collections import namedtuple\nP = namedtuple('P', 'a c')\nX = P(1, 2)",
    ),
    "default factory": (
        "from collections import defaultdict\nX = defaultdict(list)",
        "from collections import defaultdict\nX = defaultdict(set)",
    ),
    "bound method": (
        "class C:\n    def __init__(self, n): self.n = n\n    def f(self): return self.n\nX = C(1).f",
        "class C:\n    def __init__(self, n): self.n = n\n    def f(self): return self.n\nX = C(2).f",
    ),
    "bound method of a list": ("X = [1, 2].index", "X = [1, 3].index"),
    "type alias": ("class A: a = 1\nX = list[A]", "class A: a = 2\nX = list[A]"),
    "optional": ("from typing import Optional\nX = Optional[int]", "from typing import Optional\nX = Optional[str]"),
    "class itself": ("class A:\n    def f(self): return 1\nX = A", "class A:\n    def f(self): return 2\nX = A"),
    "class made in a function": (
        "def make():\n    class A:\n        def f(self): return 1\n    return A\nX = make()",
        "def make():\n    class A:\n        def f(self): return 2\n    return A\nX = make()",
    ),
    "local class's cell": (
        "def make(n):\n    class A:\n        def f(self): return n\n    return A\nX = make(1)",
        "def make(n):\n    class A:\n        def f(self): return n\n    return A\nX = make(2)",
    ),
    "cached function": (
        "from functools import lru_cache\n@lru_cache\ndef X(a): return 1",
        "from functools import lru_cache\n@lru_cache\ndef X(a): return 2",
    ),
    "cached lambda": (
        "from functools import lru_cache\nX = lru_cache(lambda a: 1)",
        "from functools import lru_cache\nX = lru_cache(lambda a: 2)",
    ),
    "decorator without wraps": (
        "def d(f):\n    def call(*a): return f(*a)\n    return call\n@d\ndef X(a): return 1",
        "def d(f):\n    def call(*a): return f(*a)\n    return call\n@d\ndef X(a): return 2",
    ),
    "class as a decorator": (
        "class D:\n    def __init__(self, f): self.f = f\n    def __call__(self, a): return self.f(a)\n@D\ndef X(a): return 1",
        "class D:\n    def __init__(self, f): self.f = f\n    def __call__(self, a): return -self.f(a)\n@D\ndef X(a): return 1",
    ),
    "computed argument of a decorator": (
        "def d(n):\n    def m(f):\n        def call(*a): return f(*a) * n\n        return call\n    return m\n@d(len('a'.strip()))\ndef X(a): return 1",
        "def d(n):\n    def m(f):\n        def call(*a): return f(*a) * n\n        return call\n    return m\n@d(len('aa'.strip()))\ndef X(a): return 1",
    ),
    "wrapped by hand": (
        "def f(a): return a\ndef g(a): return -a\nX = {'f': f}",
        "def f(a): return a\ndef g(a): return -a\nX = {'f': g}",
    ),
    "conditional definition": (
        "if len('a') == 1:\n    def X(a): return 1\nelse:\n    def X(a): return 2",
        "if len('a') == 2:\n    def X(a): return 1\nelse:\n    def X(a): return 2",
    ),
    "fallback of an import": (
        "try:\n    import not_there as X\nexcept ImportError:\n    X = 1",
        "try:\n    import not_there as X\nexcept ImportError:\n    X = 2",
    ),
    "appended at the top": ("X = []\nX.append(object)", "X = []\nX.append(int)"),
    "filled in a loop": ("X = {}\nfor i in range(2):\n    X[i] = i", "X = {}\nfor i in range(3):\n    X[i] = i"),
    "opaque, by its statement": ("import io\nX = io.StringIO('a')", "import io\nX = io.StringIO('b')"),
    "opaque, by a name in its statement": (
        "import io\nA = 'a'\nX = io.StringIO(A)",
        "import io\nA = 'b'\nX = io.StringIO(A)",
    ),
    "two lambdas on a line": (
        "X = {'a': lambda: 1, 'b': lambda: 2}['a']",
        "X = {'a': lambda: 1, 'b': lambda: 2}['b']",
    ),
    "attribute of a function": ("def X(): return X.n\nX.n = 1", "def X(): return X.n\nX.n = 2"),
    "zero's sign": ("X = 0.0", "X = -0.0"),
    "set's member": ("X = {1, 'a'}", "X = {1, 'b'}"),
    "range": ("X = range(3)", "X = range(4)"),
    "subclass of str": ("class S(str): pass\nX = S('a')", "class S(str): n = 1\nX = S('a')"),
    "function of a library": ("import math\nX = math.sin", "import math\nX = math.cos"),
    "one of several dispatched functions": (
        "from functools import singledispatch\n@singledispatch\ndef X(a): return 1\n@X.register\ndef _(a: int): return 2",
        "from functools import singledispatch\n@singledispatch\ndef X(a): return 1\n@X.register\ndef _(a: int): return 3",
    ),
    "state beside a lock and a logger": (
        "import logging, threading\nclass A:\n    def __init__(self, n): self.n, self.lock, self.log = n, threading.Lock(), logging.getLogger('a')\nX = [A(1)]",
        "import logging, threading\nclass A:\n    def __init__(self, n): self.n, self.lock, self.log = n, threading.Lock(), logging.getLogger('a')\nX = [A(2)]",
    ),
    "made by a library from text": (
        "from operator import methodcaller\nX = methodcaller('a')",
        "from operator import methodcaller\nX = methodcaller('b')",
    ),
    "named tuple's maker": (
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\nX = P._make",
        "from collections import namedtuple\nP = namedtuple('P', 'a c')\nX = P._make",
    ),
    "method called by a helper": (
        "class A:\n    def f(self): return 1\ndef X(): return A().f()",
        "class A:\n    def f(self): return 2\ndef X(): return A().f()",
    ),
}  # fmt: skip


def user(text: str) -> Files:
    return {"values_of.py": text + "\n", "user.py": "from values_of import X\n\ndef use():\n    return X\n"}


@pytest.mark.parametrize("kind", PAIRS)
def test_an_object_that_differs_gives_another_hash_and_an_equal_one_the_same(kind: str, tmp_path: Path) -> None:
    for library in ("numpy", "polars"):
        if library in PAIRS[kind][0]:
            pytest.importorskip(library)
    found = []
    for place, text in zip(("a", "b", "c"), (PAIRS[kind][0], PAIRS[kind][1], PAIRS[kind][0]), strict=True):
        with imported(tmp_path / place, user(text), "user") as module:
            found.append(closure(module.use))
    assert found[0].hash != found[1].hash
    assert explain_change(found[0], found[1])
    assert explain_change(found[0], found[2]) == []


def test_a_foreign_object_is_noted_as_known_by_its_statement(tmp_path: Path) -> None:
    text = "import msgspec\nX = msgspec.json.Decoder()"
    with imported(tmp_path, user(text), "user") as module:
        notes = closure(module.use).notes
    assert len(notes) == 1
    assert notes[0].startswith("values_of:X (msgspec.json.Decoder) is known by the statement")


# --- what changes while the process lives ---

LIVE = """
    import functools
    TABLE = {"a": [1]}
    NUMBER = 1
    class Settings:
        limit = 1
        def get(self):
            return self.limit
        def __len__(self):
            return 1
    class SettingsOfOthers:
        def get(self):
            return 7
        def __len__(self):
            return 2
    settings = Settings()
    def helper(x, into=[]):
        return x
    def other(x):
        return -x
    def make():
        cell = {"n": 1}
        def inner():
            return cell
        return inner
    held = make()
    def use(x):
        return helper(x), TABLE, NUMBER, settings.get(), held()
"""


@pytest.mark.parametrize(
    "change",
    [
        "TABLE['a'].append(2)",
        "TABLE['b'] = 1",
        "NUMBER = 2",
        "NUMBER = True",
        "Settings.limit = 2",
        "Settings.get = other",
        "Settings.get = SettingsOfOthers.get",
        "Settings.__len__ = SettingsOfOthers.__len__",
        "Settings.__call__ = other",
        "Settings._mode_ = 2",
        "settings.limit = 3",
        "helper = other",
        "helper.__defaults__[0].append(1)",
        "helper.__defaults__ = (1,)",
        "helper.__code__ = other.__code__",
        "held()['n'] = 2",
        "held = make()\nheld()['n'] = 7",
        "use.extra = 1",
        "helper = functools.partial(other)",
        "helper = functools.lru_cache(helper)",
    ],
)
def test_what_changes_while_the_process_lives_is_noticed(change: str, tmp_path: Path) -> None:
    with imported(tmp_path, {"live.py": LIVE}, "live") as module:
        before = closure(module.use)
        assert closure(module.use) is before
        exec(change, vars(module))
        assert closure(module.use).hash != before.hash


@pytest.mark.parametrize("change", ["aside = other", "LIMIT = 2"])
def test_an_imported_name_that_is_bound_anew_counts_where_it_stands(change: str, tmp_path: Path) -> None:
    files = {
        "here.py": "from there import aside, LIMIT\ndef other(x): return -x\ndef use(x): return aside(x) + LIMIT\n",
        "there.py": "LIMIT = 1\ndef aside(x): return x\n",
    }
    with imported(tmp_path, files, "here") as module:
        before = closure(module.use)
        exec(change, vars(module))
        assert closure(module.use).hash != before.hash


def test_an_unchanged_function_is_not_walked_again(tmp_path: Path) -> None:
    with imported(tmp_path, {"live.py": LIVE}, "live") as module:
        before = closure(module.use)
        vars(module)["unreached"] = 1
        assert closure(module.use) is before


def test_code_edited_but_not_loaded_again_is_hashed_as_it_runs(tmp_path: Path) -> None:
    with imported(tmp_path, {"live.py": LIVE}, "live") as module:
        fresh = closure(module.use).hash
        edited = LIVE.replace("return x\n", "return x + 1\n").replace("NUMBER = 1", "NUMBER = 1\n\n    # lines above")
        write(tmp_path, {"live.py": edited})
        vars(module)["NUMBER"] = 2  # so that the walk is done again
        running = closure(module.use)
    assert running.notes == (
        "live:helper runs as it was before its file was edited; start Python again, or reload the module.",
    )
    with imported(tmp_path, {}, "live") as module:
        vars(module)["NUMBER"] = 2
        loaded = closure(module.use)
    assert len({fresh, running.hash, loaded.hash}) == 3
    assert loaded.notes == ()


def test_a_file_that_is_half_edited_leaves_what_runs_its_hash(tmp_path: Path) -> None:
    with imported(tmp_path, {"live.py": LIVE}, "live") as module:
        write(tmp_path, {"live.py": LIVE + "def ("})
        one = closure(module.use).hash
        module.helper.__code__ = module.other.__code__
        assert closure(module.use).hash != one


# --- roots of every kind ---


def test_wrapped_objects_are_followed_to_their_function(tmp_path: Path) -> None:
    text = """
        class Step:
            def __init__(self, function):
                self.__wrapped__ = function
        class Slotted:
            __slots__ = ("__wrapped__",)
            def __init__(self, function):
                self.__wrapped__ = function
        class Own:
            def __init__(self, function):
                self.function = function
        Own.__module__ = "slipway.pipelines.step"
        def plain(x):
            return x
        stepped = Step(plain)
        slotted = Slotted(plain)
        own = Own(plain)
        def use():
            return [stepped, slotted, own]
        class Named:
            def method(self):
                return 1
    """
    with imported(tmp_path, {"wrapped.py": text}, "wrapped") as module:
        for value in (module.stepped, module.slotted, module.own, module.plain):
            assert reference(value) == "wrapped:plain"
            assert closure(value).root == "wrapped:plain"
        assert "wrapped:plain" in closure(module.use).entries
        assert closure(module.Named).root == "wrapped:Named"
        assert closure(module.Named().method).root == "wrapped:Named.method"
        assert closure(partial(module.plain, 1)).hash != closure(partial(module.plain, 2)).hash


def test_lambdas_and_local_functions_can_be_roots() -> None:
    def outer(n: int) -> Any:
        return lambda x: x + n

    assert closure(outer(1)).hash == closure(outer(1)).hash
    assert closure(outer(1)).hash != closure(outer(2)).hash
    assert closure(outer).hash != closure(lambda x: x).hash
    assert closure(outer(1)).root.endswith("outer.<locals>.<lambda>")


def test_a_notebook_is_followed_across_its_cells() -> None:
    first, second = "import math\nLIMIT = 3\n", "def clean(x):\n    return min(x, LIMIT)\n"
    third = (
        "class Fit:\n    def go(self, x):\n        return clean(x) * math.pi\n\ndef train(x):\n    return Fit().go(x)\n"
    )
    with cells(first, second, third) as before:
        old = closure(before["train"])
    assert set(old.entries) == {"notebook:train", "notebook:Fit", "notebook:clean", "notebook:LIMIT"}
    for edited, sentence in (
        ((first.replace("3", "4"), second, third), "constant notebook:LIMIT changed"),
        ((first, second.replace("min", "max"), third), "helper notebook:clean changed"),
        ((first, second, third.replace("* math", "+ math")), "class notebook:Fit changed"),
    ):
        with cells(*edited) as after:
            assert explain_change(old, closure(after["train"])) == [sentence]
    with cells(first, "# a comment\n" + second, third) as after:
        assert explain_change(old, closure(after["train"])) == []


def test_code_without_source_is_refused_in_a_sentence() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): return 1", namespace)
    with pytest.raises(InvalidDeclaration, match=r"The source of notebook:f cannot be read\..*Define it in a module"):
        closure(namespace["f"])


def test_a_cell_whose_content_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    text = "import io\ndef make(file):\n    def use():\n        return file\n    return use\nuse = make(io.BufferedReader(io.BytesIO(b'a')))\n"
    with (
        imported(tmp_path, {"opaque.py": text}, "opaque") as module,
        pytest.raises(
            InvalidDeclaration, match=r"The value of file of opaque:make.<locals>.use is a _io.BufferedReader"
        ),
    ):
        closure(module.use)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="A dict has no code closure"):
        closure({})


def test_functions_outside_the_project_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDeclaration, match="does not belong to this project"):
        closure(re.compile)
    with imported(tmp_path / "a", user("X = 1"), "user") as module:
        with pytest.raises(InvalidDeclaration, match="user:use does not belong to this project"):
            closure(module.use, project_roots=(tmp_path / "b",))
        assert closure(module.use, project_roots=(tmp_path,)).hash == closure(module.use).hash


# --- ways to import, scopes, code that is found by a computed name ---


def test_a_local_variable_of_the_same_name_is_not_a_use(tmp_path: Path) -> None:
    text = """
        def rows(): return 1
        def late(): return 2
        def used(): return 3
        class K:
            rows = 1
            def method(self, late):
                return [rows for rows in late]
        def use(rows):
            late = rows
            def inner(): return late
            return inner(), {k: rows for k in late}, (lambda used: used), K, used
    """
    with imported(tmp_path, {"scopes_of.py": text}, "scopes_of") as module:
        assert set(closure(module.use).entries) == {"scopes_of:use", "scopes_of:K", "scopes_of:used"}


WAYS: dict[str, Files] = {
    "re-export": {"user.py": "from pkg import f\ndef use(): return f()", "pkg/__init__.py": "from .rows import f"},
    "star": {"user.py": "from pkg.rows import *\ndef use(): return f()", "pkg/__init__.py": ""},
    "dotted": {"user.py": "import pkg.rows\ndef use(): return pkg.rows.f()", "pkg/__init__.py": ""},
    "alias": {"user.py": "import pkg.rows as r\ndef use(): return r.f()", "pkg/__init__.py": ""},
    "from the package": {"user.py": "from pkg import rows\ndef use(): return rows.f()", "pkg/__init__.py": ""},
    "inside the function": {"user.py": "def use():\n    from pkg.rows import f as g\n    return g()", "pkg/__init__.py": ""},
    "module inside the function": {"user.py": "def use():\n    import pkg.rows as r\n    return r.f()", "pkg/__init__.py": ""},
    "dotted inside the function": {"user.py": "def use():\n    import pkg.rows\n    return pkg.rows.f()", "pkg/__init__.py": ""},
    "getattr with a constant": {"user.py": "from pkg import rows\ndef use(): return getattr(rows, 'f')()", "pkg/__init__.py": ""},
    "import_module with a constant": {
        "user.py": "import importlib\ndef use(): return importlib.import_module('pkg.rows').f()", "pkg/__init__.py": "",
    },
    "module handed on": {"user.py": "from pkg import rows\ndef use(): return vars(rows)", "pkg/__init__.py": ""},
    "conditional": {"user.py": "try:\n    from pkg.rows import f\nexcept ImportError:\n    f = None\ndef use(): return f()", "pkg/__init__.py": ""},
    "namespace package": {"user.py": "from pkg.rows import f\ndef use(): return f()"},
    "module's own getattr": {
        "user.py": "import pkg\ndef use(): return pkg.f()",
        "pkg/__init__.py": "from . import rows\ndef __getattr__(name): return rows.f",
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_code_is_followed_by_every_way_of_importing_it(way: str, tmp_path: Path) -> None:
    found = []
    for place, body in (("a", "return g()"), ("b", "return -g()")):
        files = {**WAYS[way], "pkg/rows.py": f"def g(): return 1\ndef f(): {body}\ndef h(): {body}\n"}
        with imported(tmp_path / place, files, "user") as module:
            found.append(closure(module.use))
    assert "helper pkg.rows:f changed" in explain_change(*found)
    assert "pkg.rows:g" in found[0].entries


@pytest.mark.parametrize(
    "body",
    [
        "return eval('g()')",
        "exec('g()')",
        "return __import__('pkg.' + name)",
        "return importlib.import_module('pkg.' + name)",
        "return getattr(pkg, name)",
        "return globals()[name]",
        "return sys.modules[name]",
        "return load('pkg.' + name)",
    ],
)
def test_code_found_by_a_computed_name_makes_every_file_count(body: str, tmp_path: Path) -> None:
    head = "import importlib, sys\nfrom importlib import import_module as load\nimport pkg.rows\n"
    found = []
    for place, text in (("a", "def f(): return 1"), ("b", "def f(): return 2"), ("c", "def f(): return 1  # one")):
        files = {"user.py": f"{head}def use(name):\n    {body}\n", "pkg/__init__.py": "", "pkg/rows.py": text}
        with imported(tmp_path / place, files, "user") as module:
            found.append(closure(module.use))
    assert found[0].hash == found[2].hash
    assert explain_change(found[0], found[1]) == ["file pkg/rows.py changed"]
    assert len(found[0].notes) == 1
    assert found[0].notes[0].endswith("so every file of the project counts.")


def test_files_that_count_whole_are_read_again_each_time(tmp_path: Path) -> None:
    files = {"user.py": "def use(text):\n    return eval(text)\n", "other.py": "A = 1\n"}
    with imported(tmp_path, files, "user") as module:
        before = closure(module.use)
        write(tmp_path, {"other.py": "A = 2\n"})
        assert explain_change(before, closure(module.use)) == ["file other.py changed"]


def test_a_module_that_cannot_be_imported_is_known_by_its_text(tmp_path: Path) -> None:
    found = []
    for place, number in (("a", 1), ("b", 2)):
        files = {
            "user.py": "def use():\n    try:\n        from broken import f\n    except RuntimeError:\n        return 0\n    return f()\n",
            "broken.py": f"def f(): return {number}\nraise RuntimeError\n",
        }
        with imported(tmp_path / place, files, "user") as module:
            found.append(closure(module.use))
    assert explain_change(*found) == ["helper broken:f changed"]
    assert found[0].notes == ("broken could not be imported (RuntimeError), so its text is hashed.",)


# --- libraries ---


def test_libraries_reached_are_named_with_their_versions(tmp_path: Path) -> None:
    text = "import blake3\nimport jinja2 as j\nimport json\nfrom click.testing import CliRunner as T\n"
    text += "def use(): return j.Template('a'), T, json.dumps({})\ndef other(): return blake3.blake3()\n"
    with imported(tmp_path, {"libs.py": text}, "libs") as module:
        assert set(closure(module.use).libraries) == {"click", "Jinja2"}
        assert set(closure(module.other).libraries) == {"blake3"}


def test_slipways_version_counts_where_it_works_and_not_where_it_only_declares(tmp_path: Path) -> None:
    text = "import slipway as sw\nfrom slipway import errors\n"
    text += "def declared(x: sw.Model) -> sw.Model: return x\ndef works(x): return errors.near(x, [])\n"
    text = "from __future__ import annotations\n" + text
    with imported(tmp_path, {"face.py": text}, "face") as module:
        assert set(closure(module.declared).libraries) == set()
        assert set(closure(module.works).libraries) == {"slipway"}


def test_another_version_of_a_library_changes_the_hash_and_is_said(tmp_path: Path) -> None:
    found = []
    for version in ("1.0", "1.1"):
        library = tmp_path / version / "site-packages"
        write(
            library,
            {
                "fakelib.py": "def f(): return 1\n",
                f"fakelib-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n",
            },
        )
        with (
            imported(library, {}, "fakelib"),
            imported(tmp_path / "project", user("import fakelib as X"), "user") as module,
        ):
            version_of.cache_clear()
            found.append(closure(module.use))
    version_of.cache_clear()
    assert explain_change(*found) == ["library fakelib 1.0 -> 1.1"]


def _installed(name: str, version: str, *files: str) -> Files:
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    return {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/RECORD": "".join(f"{file},,\n" for file in (*files, f"{about}/METADATA")),
        **dict.fromkeys(files, "def f(): return 1\n"),
    }


def test_all_distributions_of_a_namespace_package_count(tmp_path: Path) -> None:
    found = []
    for version in ("1.0", "1.1"):
        library = tmp_path / version / "site-packages"
        write(library, _installed("shared-a", "1.0", "shared_space/a.py"))
        write(library, _installed("shared-b", version, "shared_space/b.py"))
        with (
            imported(library, {}, "shared_space.b"),
            imported(tmp_path / "project", user("from shared_space.b import f as X"), "user") as module,
        ):
            version_of.cache_clear()
            found.append(closure(module.use))
    version_of.cache_clear()
    assert explain_change(*found) == ["library shared_space shared-a 1.0, shared-b 1.0 -> shared-a 1.0, shared-b 1.1"]


def test_a_module_belongs_to_the_distribution_that_lists_it_and_not_to_its_namesake(tmp_path: Path) -> None:
    library = tmp_path / "site-packages"
    write(library, _installed("twin", "1.0", "elsewhere.py"))
    write(library, _installed("real-twin", "2.0", "twin.py"))
    with imported(library, {}, "twin"):
        version_of.cache_clear()
        assert version_of("twin") == ("real-twin", "2.0")
    version_of.cache_clear()


_EDITABLE = '{"url": "file:///x", "dir_info": {"editable": true}}'
_ARCHIVE = '{"url": "file:///x.whl", "archive_info": {}}'


def test_what_came_from_no_index_counts_by_its_content_however_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In editable form, and as its wheel in an environment that was made from a lock which says so."""
    prefix = tmp_path / "environment"
    write(
        prefix, {"slipway-lock.json": '{"packages": [{"name": "boat-rope", "origin": "editable"}, {"name": "other"}]}'}
    )
    about = "boat_rope-1.0.dist-info"
    told = []
    for number, source in enumerate(("LENGTH = 1\n", "LENGTH = 2\n", "LENGTH = 1\n")):
        place = tmp_path / str(number)
        write(place, {"boat_rope/__init__.py": source})
        write(place, {key: text for key, text in _installed("boat-rope", "1.0").items() if key.startswith(about)})
        write(place, {f"{about}/direct_url.json": _EDITABLE})
        with imported(place, {}, "boat_rope"):
            version_of.cache_clear()
            told.append(version_of("boat_rope"))
            found = wheels.find("boat-rope", str(place))
            assert found is not None
            data = wheels.pack(found)[1]
        site = place / "site-packages"
        zipfile.ZipFile(io.BytesIO(data)).extractall(site)
        (site / about / "direct_url.json").write_text(_ARCHIVE)
        for where in (sys.prefix, str(prefix)):
            with imported(site, {}, "boat_rope"), monkeypatch.context() as patch:
                patch.setattr(sys, "prefix", where)
                version_of.cache_clear()
                assert version_of("boat_rope") == told[-1], "the wheel is the same library"
        (site / about / "direct_url.json").unlink()
        with imported(site, {}, "boat_rope"):
            version_of.cache_clear()
            assert version_of("boat_rope") == ("boat-rope", "1.0"), "of an index's the version is enough"
    version_of.cache_clear()
    assert told[0] == told[2] != told[1]
    assert told[0][1].startswith("1.0 files ")


def test_what_an_index_has_counts_by_its_version_though_an_environment_has_it_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"slipway-lock.json": '{"packages": [{"name": "sail"}]}'})
    site = tmp_path / "site-packages"
    write(site, _installed("sail", "1.0", "sail.py"))
    (site / "sail-1.0.dist-info" / "direct_url.json").write_text(_ARCHIVE)
    with imported(site, {}, "sail"), monkeypatch.context() as patch:
        version_of.cache_clear()
        assert version_of("sail")[1].startswith("1.0 files ")
        patch.setattr(sys, "prefix", str(tmp_path))
        version_of.cache_clear()
        assert version_of("sail") == ("sail", "1.0")
    version_of.cache_clear()


def test_code_on_the_path_that_is_not_installed_counts_by_its_content(tmp_path: Path) -> None:
    found = []
    for number in (1, 2):
        aside = tmp_path / str(number)
        write(aside, {"aside/__init__.py": "", "aside/inner.py": f"def f(): return {number}\n"})
        with (
            imported(aside, {}, "aside"),
            imported(tmp_path / "project", user("from aside.inner import f as X"), "user") as module,
        ):
            version_of.cache_clear()
            found.append(closure(module.use))
    version_of.cache_clear()
    assert [sentence.split(" files ")[0] for sentence in explain_change(*found)] == ["library aside"]


# --- places on disk ---


def test_paths_near_the_project_do_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    text = """
        from pathlib import Path
        HERE = Path(__file__).parent
        DATA = str(HERE.parent / "data" / "x.csv")
        TEXT = f"read {HERE}/y"
        def use(): return HERE, DATA, TEXT, Path(__file__)
    """
    found = []
    for place in ("a", "b/c"):
        with imported(tmp_path / place, {"places.py": text}, "places") as module:
            found.append(closure(module.use))
    assert explain_change(*found) == []
    with imported(tmp_path / "d", {"places.py": text.replace("x.csv", "z.csv")}, "places") as module:
        assert explain_change(found[0], closure(module.use)) == ["constant places:DATA changed"]


def test_functions_that_call_each_other_and_values_that_hold_themselves_end(tmp_path: Path) -> None:
    text = """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        LOOP = [1]
        LOOP.append(LOOP)
        def make():
            def down(n): return n and down(n - 1)
            return down
        down = make()
        class Node:
            def __init__(self): self.next = self
        NODE = Node()
        def use(): return even(1), LOOP, down(3), NODE
    """
    with imported(tmp_path, {"loops.py": text}, "loops") as module:
        found = closure(module.use)
    assert {"loops:even", "loops:odd", "loops:LOOP", "loops:down", "loops:NODE", "loops:Node"} < set(found.entries)
