"""Kinds of change that must run a step again and be named, and kinds that must not: one row each."""

import decimal
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from fresh_steps import Fresh

from slipway.ports.workspace import Workspace

pytestmark = [
    pytest.mark.full,  # a fresh interpreter for each kind
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # steps that open files as people do
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning"),
]

Change = Callable[[Fresh], Any]


class Row(NamedTuple):
    """One kind of change.

    Args:
        kind: What changes, in words.
        code: `flow.py` and further files, with a step `answer`.
        change: What is done between two runs; what it returns, if anything, are parameters of the later runs.
        reason: What the step's reason must say; "" for a change that must not run it.
        parameters: What the pipeline takes.
        before: What is done before the first run.
    """

    kind: str
    code: str
    change: Change
    reason: str = ""
    parameters: str = ""
    before: Change = lambda project: None


def edit(old: str, new: str, file: str = "flow.py") -> Change:
    return lambda project: project.edit(file, old, new)


def env(name: str, value: str | None) -> Change:
    return lambda project: os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def put(name: str, content: str | bytes | pl.DataFrame) -> Change:
    def write(project: Fresh) -> None:
        path = project.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pl.DataFrame):
            {".csv": content.write_csv, ".parquet": content.write_parquet, ".arrow": content.write_ipc}[path.suffix](
                path
            )
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def remove(name: str) -> Change:
    def go(project: Fresh) -> None:
        path = project.data / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return go


def given(**params: Any) -> Change:
    return lambda project: params


def several(*changes: Change) -> Change:
    def go(project: Fresh) -> None:
        for change in changes:
            change(project)

    return go


ONE, TWO = pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [1, 3]})
FIRST, OTHER = put("in.csv", ONE), put("in.csv", TWO)
PASSED = "@sw.step\ndef answer(x):\n    return str(x)\n"

CODE = [
    Row(
        "body", "@sw.step\ndef answer():\n    return 1\n", edit("return 1", "return 2"), "function flow:answer changed"
    ),
    Row(
        "helper at depth 1",
        "def one():\n    return 1\n@sw.step\ndef answer():\n    return one()\n",
        edit("return 1", "return 2"),
        "helper flow:one changed",
    ),
    Row(
        "helper at depth 2",
        "def two():\n    return 1\ndef one():\n    return two()\n@sw.step\ndef answer():\n    return one()\n",
        edit("return 1", "return 2"),
        "helper flow:two changed",
    ),
    Row(
        "helper at depth 3, across modules",
        "from tools.a import one\n@sw.step\ndef answer():\n    return one()\n"
        "# file: tools/a.py\nfrom tools import b\ndef one():\n    return b.two()\n"
        "# file: tools/b.py\nfrom .c import three as two\n"
        "# file: tools/c.py\ndef three():\n    return 1\n",
        edit("return 1", "return 2", "tools/c.py"),
        "helper tools.c:three changed",
    ),
    Row(
        "helper imported inside the step",
        "@sw.step\ndef answer():\n    from tools.a import one\n    return one()\n# file: tools/a.py\ndef one():\n    return 1\n",
        edit("return 1", "return 2", "tools/a.py"),
        "helper tools.a:one changed",
    ),
    Row(
        "helper imported with a star",
        "from tools.a import *\n@sw.step\ndef answer():\n    return one()\n# file: tools/a.py\ndef one():\n    return 1\n",
        edit("return 1", "return 2", "tools/a.py"),
        "helper tools.a:one changed",
    ),
    Row(
        "constant",
        "RATE = 1\n@sw.step\ndef answer():\n    return RATE\n",
        edit("RATE = 1", "RATE = 2"),
        "constant flow:RATE changed",
    ),
    Row(
        "type of a constant",
        "RATE = 1\n@sw.step\ndef answer():\n    return str(RATE)\n",
        edit("RATE = 1", "RATE = 1.0"),
        "constant flow:RATE changed",
    ),
    Row(
        "constant of another module",
        "from tools import a\n@sw.step\ndef answer():\n    return a.RATE\n# file: tools/a.py\nRATE = 1\n",
        edit("RATE = 1", "RATE = 2", "tools/a.py"),
        "constant tools.a:RATE changed",
    ),
    Row(
        "order of a dictionary's keys",
        "D = {'a': 1, 'b': 2}\n@sw.step\ndef answer():\n    return list(D)\n",
        edit("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
        "constant flow:D changed",
    ),
    *(
        Row(
            f"what a constant {kind} tells beside its value",
            f"{lines}\n@sw.step\ndef answer():\n    return {answer}\n",
            edit(*change),
            f"constant flow:{name} changed",
        )
        for kind, lines, answer, change, name in (
            ("deque", "from collections import deque\nD = deque([1], maxlen=2)", "D.maxlen", ("=2", "=3"), "D"),
            (
                "number of a class of one's own",
                "class N(int):\n    pass\nK = N(1)\nK.unit = 's'",
                "K.unit",
                ("'s'", "'m'"),
                "K",
            ),
            ("path", "import pathlib\nP = pathlib.PurePosixPath('a')", "type(P).__name__", ("Posix", "Windows"), "P"),
            (
                "time of pandas",
                "import pandas as pd\nT = pd.Timestamp('2013-01-01 00:00:00.000000001')",
                "T.nanosecond",
                ("01')", "02')"),
                "T",
            ),
            (
                "unit of pandas",
                "import pandas as pd\nT = pd.Timestamp('2013-01-01').as_unit('s')",
                "T.unit",
                ("'s'", "'ms'"),
                "T",
            ),
        )
    ),
    Row(
        "item set on a constant later",
        "D = {}\nD['a'] = 1\n@sw.step\ndef answer():\n    return D['a']\n",
        edit("= 1", "= 2"),
        "constant flow:D changed",
    ),
    Row(
        "default argument",
        "@sw.step\ndef answer(n=1):\n    return n\n",
        edit("n=1", "n=2"),
        "argument n changed",
    ),
    Row(
        "default argument of a helper",
        "def one(n=1):\n    return n\n@sw.step\ndef answer():\n    return one()\n",
        edit("n=1", "n=2"),
        "helper flow:one changed",
    ),
    Row(
        "decorator",
        "import functools\ndef more(f):\n    @functools.wraps(f)\n    def g():\n        return f() + 1\n    return g\n"
        "@more\ndef one():\n    return 1\n@sw.step\ndef answer():\n    return one()\n",
        edit("f() + 1", "f() + 2"),
        "helper flow:more changed",
    ),
    Row(
        "decorator taken off",
        "def more(f):\n    return lambda: f() + 1\n@more\ndef one():\n    return 1\n@sw.step\ndef answer():\n    return one()\n",
        edit("@more\n", ""),
        "helper flow:one changed",
    ),
    Row(
        "closure cell",
        "def make(n):\n    def g():\n        return n\n    return g\none = make(1)\n@sw.step\ndef answer():\n    return one()\n",
        edit("make(1)", "make(2)"),
        "flow:one changed",
    ),
    Row(
        "base class",
        "class Base:\n    def f(self):\n        return 1\nclass One(Base):\n    pass\n@sw.step\ndef answer():\n    return One().f()\n",
        edit("return 1", "return 2"),
        "class flow:Base changed",
    ),
    Row(
        "method",
        "class One:\n    def f(self):\n        return 1\n@sw.step\ndef answer():\n    return One().f()\n",
        edit("return 1", "return 2"),
        "class flow:One changed",
    ),
    Row(
        "property",
        "class One:\n    @property\n    def f(self):\n        return 1\n@sw.step\ndef answer():\n    return One().f\n",
        edit("return 1", "return 2"),
        "class flow:One changed",
    ),
    Row(
        "static method",
        "class One:\n    @staticmethod\n    def f():\n        return 1\n@sw.step\ndef answer():\n    return One.f()\n",
        edit("return 1", "return 2"),
        "class flow:One changed",
    ),
    Row(
        "class method through a metaclass",
        "class Meta(type):\n    def f(cls):\n        return 1\nclass One(metaclass=Meta):\n    pass\n"
        "@sw.step\ndef answer():\n    return One.f()\n",
        edit("return 1", "return 2"),
        "class flow:Meta changed",
    ),
    Row(
        "field of a dataclass",
        "from dataclasses import dataclass\n@dataclass\nclass One:\n    n: int = 1\n@sw.step\ndef answer():\n    return One().n\n",
        edit("int = 1", "int = 2"),
        "class flow:One changed",
    ),
    Row(
        "value of an enum",
        "import enum\nclass One(enum.Enum):\n    A = 1\n@sw.step\ndef answer():\n    return One.A.value\n",
        edit("A = 1", "A = 2"),
        "class flow:One changed",
    ),
    Row(
        "lambda",
        "one = lambda: 1\n@sw.step\ndef answer():\n    return one()\n",
        edit("lambda: 1", "lambda: 2"),
        "flow:one changed",
    ),
    Row(
        "partial",
        "from functools import partial\ndef f(n):\n    return n\none = partial(f, 1)\n@sw.step\ndef answer():\n    return one()\n",
        edit("partial(f, 1)", "partial(f, 2)"),
        "constant flow:one changed",
    ),
    Row(
        "function in a table",
        "def a():\n    return 1\nTABLE = {'a': a}\n@sw.step\ndef answer():\n    return TABLE['a']()\n",
        edit("return 1", "return 2"),
        "helper flow:a changed",
    ),
    Row(
        "function registered by a decorator",
        "TABLE = {}\ndef register(f):\n    TABLE[f.__name__] = f\n    return f\n@register\ndef a():\n    return 1\n"
        "@sw.step\ndef answer():\n    return TABLE['a']()\n",
        edit("return 1", "return 2"),
        "helper flow:a changed",
    ),
    Row(
        "function behind getattr with a computed name",
        "from tools import a\n@sw.step\ndef answer():\n    return getattr(a, 'o' + 'ne')()\n# file: tools/a.py\ndef one():\n    return 1\n",
        edit("return 1", "return 2", "tools/a.py"),
        "tools/a.py changed",
    ),
    Row(
        "module imported by a computed name",
        "import importlib\n@sw.step\ndef answer():\n    return importlib.import_module('tools.' + 'a').one()\n"
        "# file: tools/a.py\ndef one():\n    return 1\n",
        edit("return 1", "return 2", "tools/a.py"),
        "file tools/a.py changed",
    ),
    Row(
        "recursive helper",
        "def one(n):\n    return 1 if n == 0 else one(n - 1)\n@sw.step\ndef answer():\n    return one(2)\n",
        edit("return 1 if", "return 2 if"),
        "helper flow:one changed",
    ),
    Row(
        "memoised helper",
        "import functools\n@functools.cache\ndef one():\n    return 1\n@sw.step\ndef answer():\n    return one()\n",
        edit("return 1", "return 2"),
        "helper flow:one changed",
    ),
    Row(
        "names of the returned items",
        "@sw.step(returns=['a', 'b'])\ndef answer():\n    return 1, 2\n",
        edit("'b'", "'c'"),
        "flow:answer changed",
    ),
    Row(
        "template text",
        "T = 'a {} b'\n@sw.step\ndef answer():\n    return T.format(1)\n",
        edit("'a {} b'", "'a {} c'"),
        "constant flow:T changed",
    ),
    Row(
        "array of a module",
        "import numpy as np\nA = np.array([1, 2])\n@sw.step\ndef answer():\n    return int(A.sum())\n",
        edit("[1, 2]", "[1, 3]"),
        "constant flow:A changed",
    ),
    Row(
        "frame of a module",
        "import polars as pl\nF = pl.DataFrame({'n': [1]})\n@sw.step\ndef answer():\n    return F['n'].sum()\n",
        edit("[1]", "[2]"),
        "constant flow:F changed",
    ),
    Row(
        "version of a library",
        "import fakelib\n@sw.step\ndef answer():\n    return fakelib.zero()\n",
        lambda project: project.install("1.1"),
        "library fakelib 1.0 -> 1.1",
        before=lambda project: project.install("1.0"),
    ),
    Row(
        "version of a library behind a helper",
        "from tools.a import one\n@sw.step\ndef answer():\n    return one()\n"
        "# file: tools/a.py\ndef one():\n    import fakelib\n    return fakelib.zero()\n",
        lambda project: project.install("1.1"),
        "library fakelib 1.0 -> 1.1",
        before=lambda project: project.install("1.0"),
    ),
    Row(
        "content of a library that is installed in editable form",
        "import fakelib\n@sw.step\ndef answer():\n    return fakelib.zero()\n",
        lambda project: (project.installed / "fakelib.py").write_text("def zero():\n    return 1\n") and None,
        "library fakelib 1.0 files",
        before=lambda project: _edit_in_place(project),
    ),
    Row(
        "class of a result that only pickle can store",
        "class One:\n    def __init__(self):\n        self.n = 1\n    def __repr__(self):\n        return str(self.n)\n"
        "@sw.step\ndef answer():\n    return One()\n",
        edit("self.n = 1", "self.n = 2"),
        "class flow:One changed",
    ),
    Row(
        "content of a library on the path that is not installed",
        "import loose\n@sw.step\ndef answer():\n    return loose.one()\n",
        lambda project: (project.installed / "loose.py").write_text("def one():\n    return 2\n") and None,
        "library loose files",
        before=lambda project: (project.installed / "loose.py").write_text("def one():\n    return 1\n"),
    ),
    Row(
        "seed set for a library at the top of a module",
        "import numpy as np\nnp.random.seed(1)\n@sw.step\ndef answer():\n    return float(np.random.rand())\n",
        edit("seed(1)", "seed(2)"),
        "settings of flow:np changed",
    ),
    Row(
        "option of a library set in another module",
        "from tools import a\nimport decimal\n@sw.step\ndef answer():\n    return a.one(str(decimal.Decimal(1) / 3))\n"
        "# file: tools/a.py\nimport decimal\ndecimal.getcontext().prec = 10\ndef one(x):\n    return x\n",
        edit("= 10", "= 5", "tools/a.py"),
        "settings of tools.a:decimal changed",
    ),
    Row(
        "function of a library replaced",
        "import loose\ndef mine(x):\n    return '1'\nloose.dumps = mine\n@sw.step\ndef answer():\n    return loose.dumps(1)\n",
        edit("return '1'", "return '2'"),
        "helper flow:mine changed",
        before=lambda project: (project.installed / "loose.py").write_text("def dumps(x):\n    return 'x'\n"),
    ),
    Row(
        "subclass found by its base",
        "class B:\n    pass\nclass A(B):\n    def f(self):\n        return 1\n"
        "@sw.step\ndef answer():\n    return [kind().f() for kind in B.__subclasses__()]\n",
        edit("return 1", "return 2"),
        "file flow.py changed",
    ),
    Row(
        "name taken from a function's globals",
        "X = 1\ndef f():\n    return 0\n@sw.step\ndef answer():\n    return f.__globals__['X']\n",
        edit("X = 1", "X = 2"),
        "file flow.py changed",
    ),
    Row(
        "module loaded from its file",
        "import importlib.util, pathlib\n@sw.step\ndef answer():\n"
        "    spec = importlib.util.spec_from_file_location('plug', pathlib.Path(__file__).parent / 'plug.py')\n"
        "    made = importlib.util.module_from_spec(spec)\n    spec.loader.exec_module(made)\n    return made.one()\n"
        "# file: plug.py\ndef one():\n    return 1\n",
        edit("return 1", "return 22", "plug.py"),
        "file plug.py changed",
    ),
    Row(
        "function that a pickle names",
        "import pickle\n@sw.step\ndef answer():\n    return pickle.loads(b'ctools.b\\none\\n.')()\n"
        "# file: tools/b.py\ndef one():\n    return 1\n",
        edit("return 1", "return 2", "tools/b.py"),
        "file tools/b.py changed",
    ),
    Row(
        "docstring that is read",
        "def f():\n    '''Say A.'''\n@sw.step\ndef answer():\n    return f.__doc__\n",
        edit("Say A", "Say B"),
        "helper flow:f changed",
    ),
    Row(
        "docstring that is asked for",
        "import inspect\nclass F:\n    '''Say A.'''\n@sw.step\ndef answer():\n    return inspect.getdoc(F)\n",
        edit("Say A", "Say B"),
        "class flow:F changed",
    ),
    *(
        Row(
            f"{kind} of a module that was read from a file",
            f"{made}\n@sw.step\ndef answer():\n    return str({read})\n",
            put("conf", after),
            "constant flow:C changed",
            before=put("conf", before),
        )
        for kind, made, read, before, after in (
            (
                "ConfigParser",
                "import configparser\nC = configparser.ConfigParser()\nC.read('conf')",
                "C['a']['b']",
                "[a]\nb=1",
                "[a]\nb=2",
            ),
            (
                "Namespace",
                "import argparse\nP = argparse.ArgumentParser()\nP.add_argument('--r')\nC = P.parse_args(open('conf').read().split())",
                "C.r",
                "--r 1",
                "--r 2",
            ),
            (
                "ElementTree",
                "import xml.etree.ElementTree as E\nC = E.parse('conf')",
                "C.getroot().text",
                "<a>1</a>",
                "<a>2</a>",
            ),
            ("UserDict", "from collections import UserDict\nC = UserDict(a=open('conf').read())", "C['a']", "1", "2"),
            ("address", "import ipaddress\nC = ipaddress.ip_address(open('conf').read())", "C", "10.0.0.1", "10.0.0.2"),
            (
                "estimator",
                "from sklearn.linear_model import Ridge\nC = Ridge(alpha=float(open('conf').read()))",
                "C.alpha",
                "1",
                "2",
            ),
        )
    ),
]

ARGUMENTS = [
    Row("value", PASSED, given(x=2), "argument x changed", "x=1"),
    Row("1 becomes '1'", PASSED, given(x="1"), "argument x changed", "x=1"),
    Row("1 becomes True", PASSED, given(x=True), "argument x changed", "x=1"),
    Row("1 becomes 1.0", PASSED, given(x=1.0), "argument x changed", "x=1"),
    Row("0.0 becomes -0.0", PASSED, given(x=-0.0), "argument x changed", "x=0.0"),
    Row("list becomes tuple", PASSED, given(x=(1, 2)), "argument x changed", "x=[1, 2]"),
    Row("order of a dictionary", PASSED, given(x={"b": 2, "a": 1}), "argument x changed", "x={'a': 1, 'b': 2}"),
    Row("bytes for text", PASSED, given(x=b"a"), "argument x changed", "x='a'"),
    Row("None for nothing", PASSED, given(x=None), "argument x changed", "x=''"),
    *(
        Row(f"frame with {kind}", PASSED, given(x=frame), "argument x changed", "x=None", lambda project: {"x": ONE})
        for kind, frame in {
            "a renamed column": pl.DataFrame({"m": [1, 2]}),
            "another dtype": pl.DataFrame({"n": [1, 2]}, schema={"n": pl.Int32}),
            "another order of rows": pl.DataFrame({"n": [2, 1]}),
            "a null": pl.DataFrame({"n": [1, None]}),
            "a NaN": pl.DataFrame({"n": [1.0, float("nan")]}),
            "another column": pl.DataFrame({"n": [1, 2], "m": [1, 2]}),
            "one row less": pl.DataFrame({"n": [1]}),
        }.items()
    ),
    *(
        Row(
            f"array {kind}", PASSED, given(x=array), "argument x changed", "x=None", lambda project: {"x": np.arange(4)}
        )
        for kind, array in {
            "reshaped": np.arange(4).reshape(2, 2),
            "of another dtype": np.arange(4, dtype="i4"),
            "of floats": np.arange(4.0),
            "with another value": np.array([0, 1, 2, 4]),
        }.items()
    ),
    Row(
        "method of an argument's class",
        "from dataclasses import dataclass\n@dataclass\nclass One:\n    n: int\n    def f(self):\n        return self.n\n"
        "@sw.step\ndef answer(x):\n    return x.f()\n@sw.pipeline\ndef release():\n    return answer(One(1))\n",
        edit("return self.n", "return -self.n"),
        "class flow:One changed",
    ),
    Row(
        "upstream edit that gives another value",
        "@sw.step\ndef before():\n    return 1\n@sw.step\ndef answer(x):\n    return x\n@sw.pipeline\ndef release():\n    return answer(before())\n",
        edit("return 1", "return 2"),
        "argument x changed",
    ),
]


def variable(read: str) -> str:
    return f"import os\n@sw.step\ndef answer():\n    return {read}\n"


def reading(expression: str, imports: str = "import polars as pl") -> str:
    return f"{imports}\n@sw.step\ndef answer():\n    return str({expression})\n"


RATE_SET, RATE_GONE = env("RATE", "1"), env("RATE", None)
JSON = put("in.json", '{"n": 1}')

HIDDEN = [
    *(
        Row(
            f"variable by {read}",
            variable(read),
            env("RATE", "2"),
            "environment variable RATE changed",
            before=RATE_SET,
        )
        for read in (
            "os.environ['RATE']",
            "os.environ.get('RATE')",
            "os.getenv('RATE')",
            "os.environb[b'RATE'].decode()",
            "os.path.expandvars('$RATE')",
            "{k: v for k, v in os.environ.items()}['RATE']",
            "dict(os.environ)['RATE']",
        )
    ),
    Row(
        "variable now set",
        variable("os.environ.get('RATE')"),
        RATE_SET,
        "environment variable RATE is now set",
        before=RATE_GONE,
    ),
    Row(
        "variable now gone",
        variable("'RATE' in os.environ"),
        RATE_GONE,
        "environment variable RATE is no longer set",
        before=RATE_SET,
    ),
    Row(
        "variable behind a helper of another module",
        "from tools.a import rate\n@sw.step\ndef answer():\n    return rate()\n"
        "# file: tools/a.py\nfrom os import environ\ndef rate():\n    return environ['RATE']\n",
        env("RATE", "2"),
        "environment variable RATE changed",
        before=RATE_SET,
    ),
    Row(
        "variable read by a module when it is imported",
        "from tools.a import RATE\n@sw.step\ndef answer():\n    return RATE\n# file: tools/a.py\nimport os\nRATE = os.environ['RATE']\n",
        env("RATE", "2"),
        "constant tools.a:RATE changed",
        before=RATE_SET,
    ),
    Row(
        "variable that a helper remembers from another step",
        "import functools, os\n@functools.cache\ndef rate():\n    return os.environ['RATE']\n"
        "@sw.step\ndef before():\n    return rate()\n@sw.step\ndef answer():\n    return rate() + '!'\n"
        "@sw.pipeline\ndef release():\n    before()\n    return answer()\n",
        env("RATE", "2"),
        "environment variable RATE changed",
        before=RATE_SET,
    ),
    Row(
        "variable that a helper remembers from outside any step",
        "import functools, os\n@functools.cache\ndef rate():\n    return os.environ['RATE']\nrate()\n"
        "@sw.step\ndef answer():\n    return rate()\n@sw.pipeline\ndef release():\n    rate()\n    return answer()\n",
        env("RATE", "2"),
        "environment variable RATE changed",
        before=RATE_SET,
    ),
    Row(
        "variable read by a thread of the step",
        "import os, threading\n@sw.step\ndef answer():\n    found = []\n"
        "    t = threading.Thread(target=lambda: found.append(os.environ['RATE']))\n    t.start()\n    t.join()\n    return found\n",
        env("RATE", "2"),
        "environment variable RATE changed",
        before=RATE_SET,
    ),
    Row(
        "variable read in a pool of threads",
        "import os\nfrom concurrent.futures import ThreadPoolExecutor\n@sw.step\ndef answer():\n"
        "    with ThreadPoolExecutor(2) as pool:\n        return list(pool.map(os.getenv, ['RATE', 'RATE']))\n",
        env("RATE", "2"),
        "environment variable RATE changed",
        before=RATE_SET,
    ),
    *(
        Row(f"file by {read}", reading(read, imports), OTHER, "file in.csv changed", before=FIRST)
        for read, imports in {
            "open('in.csv').read()": "",
            "Path('in.csv').read_text()": "from pathlib import Path",
            "Path('in.csv').read_bytes()": "from pathlib import Path",
            "os.read(os.open('in.csv', os.O_RDONLY), 100)": "import os",
            "list(csv.reader(open('in.csv')))": "import csv",
            "np.loadtxt('in.csv', skiprows=1)": "import numpy as np",
            "pl.read_csv('in.csv')": "import polars as pl",
            "pl.scan_csv('in.csv').collect()": "import polars as pl",
            "scan_csv('in*.csv').collect()": "from polars import scan_csv",
            "pd.read_csv('in.csv')": "import pandas as pd",
            "pa.read_csv('in.csv')": "import pyarrow.csv as pa",
            "duckdb.sql(\"select * from 'in.csv'\").fetchall()": "import duckdb",
            "duckdb.connect().execute(\"select * from read_csv('in.csv')\").fetchall()": "import duckdb",
            "duckdb.read_csv('in.csv').fetchall()": "import duckdb",
            "(Path('in.csv').stat().st_size, open('in.csv').read())": "from pathlib import Path",
            "mmap.mmap((f := open('in.csv')).fileno(), 0, access=mmap.ACCESS_READ)[:]": "import mmap",
            "shutil.copy('in.csv', tempfile.mkdtemp()) and open('in.csv').read()": "import shutil, tempfile",
        }.items()
    ),
    *(
        Row(
            f"Parquet by {read}",
            reading(read, imports),
            put("in.parquet", TWO),
            "file in.parquet changed",
            before=put("in.parquet", ONE),
        )
        for read, imports in {
            "pl.read_parquet('in.parquet')": "import polars as pl",
            "pl.scan_parquet('in.parquet').collect()": "import polars as pl",
            "pd.read_parquet('in.parquet')": "import pandas as pd",
            "pq.read_table('in.parquet')": "import pyarrow.parquet as pq",
            "ds.dataset('in.parquet').to_table()": "import pyarrow.dataset as ds",
            "duckdb.read_parquet('in.parquet').fetchall()": "import duckdb",
        }.items()
    ),
    Row(
        "JSON file",
        reading("json.load(open('in.json'))", "import json"),
        put("in.json", '{"n": 2}'),
        "file in.json changed",
        before=JSON,
    ),
    Row(
        "file below the project",
        "from pathlib import Path\n@sw.step\ndef answer():\n    return (Path(__file__).parent / 'in.txt').read_text()\n",
        lambda project: project.write("in.txt", "2"),
        "file in.txt changed",
        before=lambda project: project.write("in.txt", "1"),
    ),
    Row(
        "file by a path that is given",
        "@sw.step\ndef answer(x):\n    return open(x).read()\n",
        OTHER,
        "file in.csv changed",
        "x='in.csv'",
        before=FIRST,
    ),
    Row(
        "file gone",
        "from pathlib import Path\n@sw.step\ndef answer():\n    try:\n        return open('in.csv').read()\n    except FileNotFoundError:\n        return ''\n",
        remove("in.csv"),
        "file in.csv is gone",
        before=FIRST,
    ),
    Row(
        "file that was not there",
        "from pathlib import Path\n@sw.step\ndef answer():\n    try:\n        return open('in.csv').read()\n    except FileNotFoundError:\n        return ''\n",
        FIRST,
        "file in.csv is new",
    ),
    Row("existence of a file", reading("os.path.exists('flag')", "import os"), put("flag", ""), "flag is there"),
    Row(
        "existence by Path",
        reading("Path('flag').is_file()", "from pathlib import Path"),
        remove("flag"),
        "flag is gone",
        before=put("flag", ""),
    ),
    *(
        Row(
            f"folder by {read}",
            reading(read, imports),
            put("d/b.txt", ""),
            "folder d holds other files",
            before=put("d/a.txt", ""),
        )
        for read, imports in {
            "sorted(os.listdir('d'))": "import os",
            "sorted(e.name for e in os.scandir('d'))": "import os",
            "sorted(Path('d').iterdir())": "from pathlib import Path",
            "sorted(Path('d').glob('*.txt'))": "from pathlib import Path",
            "sorted(glob.glob('d/*.txt'))": "import glob",
            "[n for _, _, n in os.walk('d')]": "import os",
        }.items()
    ),
    Row(
        "new file of a pattern",
        reading("pl.scan_csv('d/*.csv').collect()"),
        put("d/b.csv", TWO),
        "folder d holds other files",
        before=put("d/a.csv", ONE),
    ),
    *(
        Row(
            f"resource by {read}",
            reading(read, imports),
            lambda project: project.write("tools/in.txt", "2"),
            "file tools/in.txt changed",
            before=several(
                lambda project: project.write("tools/a.py", ""), lambda project: project.write("tools/in.txt", "1")
            ),
        )
        for read, imports in {
            "resources.files('tools').joinpath('in.txt').read_text()": "from importlib import resources",
            "resources.read_text('tools', 'in.txt')": "from importlib import resources",
            "resources.open_text('tools', 'in.txt').read()": "from importlib import resources",
            "pkgutil.get_data('tools', 'in.txt')": "import pkgutil",
        }.items()
    ),
    *(
        Row(f"{read}, where it was not there", reading(read, imports), put("flag", ""), "flag is there")
        for read, imports in {
            "os.path.lexists('flag')": "import os",
            "os.access('flag', os.R_OK)": "import os",
            "glob.glob('flag')": "import glob",
        }.items()
    ),
    *(
        Row(
            f"{read}, where the folders stay",
            reading(f"sorted({read})", imports),
            put("d/b/x.txt", ""),
            "d/b/x.txt is there",
            before=several(put("d/a/x.txt", ""), put("d/b/y.txt", "")),
        )
        for read, imports in {
            "glob.glob('d/*/x.txt')": "import glob",
            "Path('d').glob('*/x.txt')": "from pathlib import Path",
        }.items()
    ),
    *(
        Row(
            f"link by {read}",
            reading(read, imports),
            lambda project: _link(project.data, "b"),
            "now is something else",
            before=several(put("a", "1"), put("b", "1"), lambda project: _link(project.data, "a")),
        )
        for read, imports in {
            "os.readlink('now')": "import os",
            "Path('now').resolve().name": "from pathlib import Path",
        }.items()
    ),
    Row(
        "size by lstat",
        reading("os.lstat('in.csv').st_size", "import os"),
        put("in.csv", "longer than it was"),
        "file in.csv changed",
        before=FIRST,
    ),
    *(
        Row(
            f"file read by {kind}",
            f"{imports}\nfrom reads import text\n@sw.step\ndef answer():\n    return {read}\n"
            "# file: reads.py\ndef text(path):\n    return open(path).read()\n",
            OTHER,
            "file in.csv changed",
            before=several(FIRST, lambda project: _no_workers()),
        )
        for kind, imports, read in (
            (
                "workers of joblib",
                "from joblib import Parallel, delayed",
                "Parallel(n_jobs=2)(delayed(text)('in.csv') for _ in range(9))[8]",
            ),
            (
                "processes of a pool",
                "from concurrent.futures import ProcessPoolExecutor",
                "next(ProcessPoolExecutor(1).map(text, ['in.csv']))",
            ),
            ("threads of a pool", "from multiprocessing.pool import ThreadPool", "ThreadPool(1).map(text, ['in.csv'])"),
            ("a thread of asyncio", "import asyncio", "asyncio.run(asyncio.to_thread(text, 'in.csv'))"),
        )
    ),
    Row(
        "database of SQLite",
        reading("sqlite3.connect('in.db').execute('select n from t').fetchall()", "import sqlite3"),
        lambda project: _sqlite(project.data / "in.db", 2),
        "file in.db changed",
        before=lambda project: _sqlite(project.data / "in.db", 1),
    ),
    Row(
        "link that leads elsewhere",
        reading("open('now').read()", ""),
        lambda project: _link(project.data, "b"),
        "file now changed",
        before=several(put("a", "1"), put("b", "2"), lambda project: _link(project.data, "a")),
    ),
]


def _edit_in_place(project: Fresh) -> None:
    project.install("1.0")
    (about,) = project.installed.glob("*.dist-info")
    (about / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')


def _sqlite(path: Path, n: int) -> None:
    import sqlite3

    with sqlite3.connect(path) as db:
        db.execute("create table if not exists t (n)")
        db.execute("delete from t")
        db.execute("insert into t values (?)", (n,))
    db.close()


def _no_workers() -> None:
    """End joblib's workers: they would go on with the modules and the folder of another test."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _link(folder: Path, target: str) -> None:
    (folder / "now").unlink(missing_ok=True)
    (folder / "now").symlink_to(folder / target)


def _touch(project: Fresh) -> None:
    for path in (*project.folder.rglob("*"), *project.data.rglob("*")):
        os.utime(path, (1, 1))


def _move(project: Fresh) -> None:
    moved = project.folder.parent / "far" / "away"
    moved.parent.mkdir()
    project.folder = project.folder.rename(moved)


SMALL = "def one():\n    return 1\ndef other():\n    return 1\n@sw.step\ndef answer():\n    '''Say.'''\n    # why\n    return one()\n"
READS_BOTH = (
    "import os\nfrom pathlib import Path\n@sw.step\ndef answer():\n"
    "    return os.environ['RATE'], open('in.csv').read(), (Path(__file__).parent / 'in.txt').read_text(), os.listdir('d')\n"
)
BOTH = several(RATE_SET, FIRST, put("d/a.txt", "1"), lambda project: project.write("in.txt", "1"))

MUST_NOT = [
    Row("comment", SMALL, edit("# why", "# why not")),
    Row("docstring", SMALL, edit("'''Say.'''", "'''Say it.'''")),
    Row("docstring taken out", SMALL, edit("    '''Say.'''\n", "")),
    Row("layout", SMALL, edit("return one()", "return (\n        one()\n    )")),
    Row("quotes", "@sw.step\ndef answer():\n    return 'a'\n", edit("'a'", '"a"')),
    Row("code that is not reached", SMALL, edit("def other():\n    return 1", "def other():\n    return 2")),
    Row(
        "order of functions",
        SMALL,
        edit(
            "def one():\n    return 1\ndef other():\n    return 1\n",
            "def other():\n    return 1\ndef one():\n    return 1\n",
        ),
    ),
    Row("constant that is not used", "A = 1\nB = 1\n@sw.step\ndef answer():\n    return A\n", edit("B = 1", "B = 2")),
    Row("new module of the project", SMALL, lambda project: project.write("tools/new.py", "X = 1\n")),
    Row("import that is not used", SMALL, edit("def other", "import fractions\ndef other")),
    Row(
        "name of a parameter of the pipeline",
        "@sw.step\ndef answer(x):\n    return x\n@sw.pipeline\ndef release(a=1):\n    return answer(a)\n",
        edit("release(a=1):\n    return answer(a)", "release(b=1):\n    return answer(b)"),
    ),
    Row(
        "text of an error elsewhere",
        SMALL,
        edit("def other():\n    return 1", "def other():\n    raise ValueError('x')"),
    ),
    Row("times of files", READS_BOTH, _touch, before=BOTH),
    Row("moved project that reads files", READS_BOTH, _move, before=BOTH),
    Row("variable that is not read", READS_BOTH, env("OTHER", "1"), before=BOTH),
    Row("file that is not read", READS_BOTH, put("other.csv", "1"), before=BOTH),
    Row("content of a file in a folder that is listed", READS_BOTH, put("d/a.txt", "2"), before=BOTH),
    Row("file written anew with the same content", READS_BOTH, several(remove("in.csv"), FIRST), before=BOTH),
    Row("variable set to what it was", READS_BOTH, several(RATE_GONE, RATE_SET), before=BOTH),
    Row(
        "upstream edit that gives an equal value",
        "@sw.step\ndef before():\n    return 1 + 1\n@sw.step\ndef answer(x):\n    return x\n@sw.pipeline\ndef release():\n    return answer(before())\n",
        edit("1 + 1", "3 - 1"),
    ),
    Row(
        "file that the step writes and reads",
        "from pathlib import Path\n@sw.step\ndef answer():\n    Path('out.txt').write_text('1')\n    return Path('out.txt').read_text()\n",
        put("out.txt", "other"),
    ),
    Row(
        "temporary files",
        "import tempfile\nfrom pathlib import Path\n@sw.step\ndef answer():\n    with tempfile.TemporaryDirectory() as made:\n"
        "        (Path(made) / 'a').write_text('1')\n        return len(list(Path(made).iterdir())), (Path(made) / 'a').read_text()\n",
        env("TMPDIR", None),
    ),
    Row(
        "folder that the step makes once",
        "from pathlib import Path\n@sw.step\ndef answer():\n    out = Path('plots')\n    out.mkdir(exist_ok=True)\n    (out / 'a.txt').write_text('1')\n    return 1\n",
        put("plots/b.txt", ""),
    ),
    Row(
        "time zones and languages",
        "import locale, zoneinfo\nfrom datetime import datetime\n@sw.step\ndef answer():\n    return str(datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset()), locale.getlocale()[0]\n",
        env("LANG", "C"),
    ),
    Row(
        "what is logged and how long it took",
        "import logging, time\n@sw.step\ndef answer():\n    begun = time.perf_counter()\n    logging.getLogger('x').info('%s', time.monotonic() - begun)\n    return 1\n",
        env("OTHER", "2"),
    ),
    Row(
        "library imported for the first time inside the step",
        "@sw.step\ndef answer():\n    import colorsys, statistics\n    return statistics.mean([1, 2])\n",
        env("OTHER", "3"),
    ),
    Row(
        "workers of joblib that read nothing",
        "from joblib import Parallel, delayed\n@sw.step\ndef answer():\n    return Parallel(n_jobs=2)(delayed(abs)(n) for n in range(9))\n",
        put("other.csv", "1"),
        before=lambda project: _no_workers(),
    ),
    Row(
        "model that the step saves and loads",
        "import lightgbm, tempfile\nimport numpy as np\n@sw.step\ndef answer():\n"
        "    data = lightgbm.Dataset(np.arange(100.0).reshape(-1, 1), np.arange(100) % 2)\n"
        "    with tempfile.TemporaryDirectory() as made:\n"
        "        lightgbm.train({'verbose': -1}, data, 1).save_model(made + '/m')\n"
        "        return lightgbm.Booster(model_file=made + '/m').num_trees()\n",
        env("OTHER", "4"),
    ),
    Row(
        "setting of a library that is not used",
        "import decimal\ndecimal.getcontext().prec = 10\n@sw.step\ndef answer():\n    return 1\n",
        edit("= 10", "= 5"),
    ),
    Row(
        "annotation that is not read",
        "@sw.step\ndef answer():\n    n: int = 1\n    return n\n",
        edit("n: int = 1", "n: int = 1  # one"),
    ),
]


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    """What the projects set for the whole process ends with them."""
    kept, drawn = dict(os.environ), np.random.get_state()
    with decimal.localcontext():
        yield
    np.random.set_state(drawn)
    os.environ.clear()
    os.environ.update(kept)


def _rows(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[row.kind for row in rows])


def _begun(row: Row, tmp_path: Path, workspace: Workspace) -> tuple[Fresh, dict[str, Any]]:
    """A project in which the step was computed once and then found."""
    project = Fresh(tmp_path, workspace, row.code, row.parameters)
    params = row.before(project)
    params = params if isinstance(params, dict) else {}
    first = project.run(**params)
    assert "answer" in first.computed
    again = project.run(**params)
    assert again.computed == {}, "an equal call must be found"
    assert again.value == first.value or str(again.value) == str(first.value)
    return project, params


@_rows([*CODE, *ARGUMENTS, *HIDDEN])
def test_what_must_be_noticed_runs_again_and_is_named(row: Row, tmp_path: Path, workspace: Workspace) -> None:
    project, params = _begun(row, tmp_path, workspace)
    changed = row.change(project)
    params |= changed if isinstance(changed, dict) else {}
    after = project.run(**params)
    assert row.reason in after.computed.get("answer", "it was taken from the cache")
    plain = project.run(use_cache=False, **params)
    assert str(after.value) == str(plain.value)
    assert project.run(**params).computed == {}, "the new result must be found"


@_rows(MUST_NOT)
def test_what_must_not_matter_runs_nothing(row: Row, tmp_path: Path, workspace: Workspace) -> None:
    project, params = _begun(row, tmp_path, workspace)
    row.change(project)
    assert "answer" not in project.run(**params).computed
