"""What only Linux has is used behind a question whether it is there: by the types that mypy ships, read as macOS reads them."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from house.read_sources import SOURCE

MODULES = ("fcntl", "mmap", "os", "resource", "select", "signal", "socket", "time")
PYTHON = (3, 11)


def typeshed(module: str) -> list[Path]:
    spec = find_spec("mypy")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent / "typeshed/stdlib"
    beside = {"os": ["os/__init__.pyi"], "socket": ["socket.pyi", "_socket.pyi"]}
    return [home / name for name in beside.get(module, [f"{module}.pyi"])]


def names(module: str, platform: str) -> set[str]:
    """The names that a module has on a platform."""
    found: set[str] = set()
    for path in typeshed(module):
        walk(ast.parse(path.read_text()).body, platform, found)
    return found


def walk(body: list[ast.stmt], platform: str, found: set[str]) -> None:
    for one in body:
        match one:
            case ast.If():
                walk(one.body if holds(one.test, platform) else one.orelse, platform, found)
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                found.add(one.name)
            case ast.AnnAssign(target=ast.Name(name)):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.ImportFrom(names=imported) | ast.Import(names=imported):
                found |= {name.asname or name.name for name in imported}


def holds(test: ast.expr, platform: str) -> bool:
    code = compile(ast.Expression(test), "typeshed", "eval")
    system = type("sys", (), {"platform": platform, "version_info": PYTHON})
    return bool(eval(code, {"sys": system}))


def used(tree: ast.Module) -> set[tuple[str, str]]:
    """The names of the modules that a file uses, less those of which it asks whether they are there."""
    found = {
        (one.value.id, one.attr)
        for one in ast.walk(tree)
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id in MODULES
    }
    found |= {
        (one.module, name.name)
        for one in ast.walk(tree)
        if isinstance(one, ast.ImportFrom) and one.module in MODULES
        for name in one.names
    }
    asked = {
        (one.args[0].id, one.args[1].value)
        for one in ast.walk(tree)
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in ("hasattr", "getattr")
        if isinstance(one.args[0], ast.Name) and isinstance(one.args[1], ast.Constant)
    }
    return found - asked


@pytest.fixture(scope="module")
def missing() -> set[tuple[str, str]]:
    return {(module, name) for module in MODULES for name in names(module, "linux") - names(module, "darwin")}


def test_the_types_tell_what_macos_lacks(missing: set[tuple[str, str]]) -> None:
    lacks = {
        ("os", "sched_getaffinity"),
        ("os", "pidfd_open"),
        ("os", "waitid"),
        ("select", "epoll"),
        ("socket", "SOCK_CLOEXEC"),
    }
    assert lacks <= missing
    assert not {("os", "fork"), ("os", "open"), ("socket", "AF_UNIX"), ("select", "poll"), ("fcntl", "flock")} & missing
    assert used(ast.parse("import os\nos.waitid(1)\nif hasattr(os, 'pidfd_open'):\n    os.pidfd_open(1)")) == {
        ("os", "waitid")
    }


def test_nothing_is_used_that_macos_lacks(missing: set[tuple[str, str]]) -> None:
    modules = "|".join(MODULES)
    written, imported = re.compile(rf"\b({modules})\.(\w+)"), re.compile(rf"from ({modules}) import")
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        if missing.intersection(written.findall(text)) or imported.search(text):  # few files: parsing all takes seconds
            assert not used(ast.parse(text)) & missing, path


def test_proc_is_read_in_few_places() -> None:
    there = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if re.search(r'"/proc', path.read_text())}
    assert there <= {
        "processes.py", "cli/doctor_machine.py", "conformance/executor.py", "hosts/descendants.py", "hosts/task_state.py",
        "ledger/provenance.py", "pipelines/hidden/readers.py", "runs/system.py", "serving/footprint.py",
    }, "Ask slipway.processes, which knows another way."  # fmt: skip
