"""What must be noticed runs again and says why; what must not matter runs nothing."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.code.libraries import version_of
from slipway.ledger import provenance
from slipway.pipelines import engine, reasons
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run

FLOW = '''"""A small project."""

import fakelib
import polars as pl

import slipway as sw
from tools import shape
from tools.clean import Scaler, clean


@sw.step
def prepare(rows: pl.DataFrame, floor: int = 0) -> pl.DataFrame:
    # keep what counts
    return clean(rows).filter(pl.col("n") >= floor)


@sw.step
def train(rows: pl.DataFrame, rate: float = 0.1) -> float:
    """Fit."""
    scaled = Scaler(2.0).apply(float(rows["n"].sum()))
    return scaled * rate * shape.FACTOR + fakelib.zero()


def unreached() -> int:
    return 1


@sw.pipeline
def release(values: tuple[int, ...] = (1, 2, 3), rate: float = 0.1, floor: int = 0) -> float:
    rows = pl.DataFrame({"n": values})
    return train(prepare(rows, floor), rate)
'''
CLEAN = '''"""Cleaning."""

from tools.deep import limit


def clean(rows):
    return rows.filter(rows["n"] < limit())


class Base:
    def shift(self, x):
        return x + OFFSET


OFFSET = 1.0


class Scaler(Base):
    def __init__(self, by):
        self.by = by

    def apply(self, x):
        return self.shift(x) * self.by

    def unused(self):
        return 0
'''
FILES = {
    "flow.py": FLOW,
    "tools/__init__.py": "",
    "tools/clean.py": CLEAN,
    "tools/deep.py": "def limit():\n    return 1000\n",
    "tools/shape.py": "FACTOR = 10\nOTHER = 1\n",
}


class Project:
    """A project on disk that can be edited and run anew, as a later process would."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        self.folder = folder / "project"
        self.installed = folder / "library"
        self.workspace = workspace
        for name, text in FILES.items():
            self.write(name, text)
        self.install("1.0")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def install(self, version: str) -> None:
        for old in self.installed.glob("*.dist-info/*"):
            old.unlink()
            old.parent.rmdir()
        about = self.installed / f"fakelib-{version}.dist-info" / "METADATA"
        about.parent.mkdir(parents=True)
        about.write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n")
        (self.installed / "fakelib.py").write_text("def zero():\n    return 0.0\n")

    def forget(self) -> None:
        for name in [n for n in sys.modules if n.partition(".")[0] in ("flow", "tools", "fakelib")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        version_of.cache_clear()
        provenance.environment.cache_clear()  # or other tests would meet fakelib in their runs' lock

    def run(self, **params: Any) -> Run:
        sys.path[:0] = [str(self.folder), str(self.installed)]
        self.forget()
        try:
            return engine.run(self.workspace, importlib.import_module("flow").release, params).run
        finally:
            del sys.path[:2]
            self.forget()

    def computed(self, **params: Any) -> dict[str, str]:
        """The steps that ran, with their reasons."""
        run = self.run(**params)
        with self.workspace.ledger.read() as tx:
            return {s.name: s.reason for s in reasons.steps_of(tx, run.id) if s.state != "cached"}


@pytest.fixture
def project(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    # Two edits within one second would otherwise be one to the interpreter's own cache.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Project(tmp_path, workspace)
    made.run()
    yield made
    made.forget()


@pytest.mark.parametrize(
    ("name", "old", "new", "step", "reason"),
    [
        ("flow.py", "scaled * rate", "scaled / rate", "train", "function flow:train changed"),
        ("flow.py", "rate: float = 0.1) -> float:\n    \"\"\"Fit", "rate: float = 0.2) -> float:\n    \"\"\"Fit", "train", "flow:train"),
        ("tools/clean.py", "rows.filter(rows", "rows.unique().filter(rows", "prepare", "helper tools.clean:clean changed"),
        ("tools/deep.py", "1000", "1001", "prepare", "helper tools.deep:limit changed"),
        ("tools/shape.py", "FACTOR = 10", "FACTOR = 10.0", "train", "constant tools.shape:FACTOR changed"),
        ("tools/clean.py", "OFFSET = 1.0", "OFFSET = 2.0", "train", "constant tools.clean:OFFSET changed"),
        ("tools/clean.py", "self.shift(x) * self.by", "self.shift(x) / self.by", "train", "class tools.clean:Scaler changed"),
        ("tools/clean.py", "x + OFFSET", "OFFSET - x", "train", "class tools.clean:Base changed"),
    ],
    ids=["body", "default", "helper", "helper of a helper", "constant's type", "constant", "method", "base class"],
)  # fmt: skip
def test_changed_code_runs_again_and_is_named(
    project: Project, name: str, old: str, new: str, step: str, reason: str
) -> None:
    project.edit(name, old, new)
    computed = project.computed()
    assert reason in computed[step]
    # Cut off: only the changed step, and what its new output reaches.
    assert set(computed) <= {step, "train"}
    assert project.computed() == {}


@pytest.mark.parametrize(
    ("params", "steps", "reason"),
    [
        ({"rate": 0.3}, {"train"}, "argument rate changed"),
        ({"rate": 1}, {"train"}, "argument rate changed"),
        ({"floor": 2}, {"prepare", "train"}, "argument rows changed"),
        ({"floor": False}, {"prepare"}, "argument floor changed"),
        ({"values": (1, 2)}, {"prepare", "train"}, "argument rows changed"),
        ({"values": (3, 2, 1)}, {"prepare", "train"}, "argument rows changed"),
        ({"values": (1.0, 2.0, 3.0)}, {"prepare", "train"}, "argument rows changed"),
    ],
    ids=["value", "type", "value upstream", "type upstream", "fewer rows", "other order", "other dtype"],
)
def test_changed_inputs_run_again(project: Project, params: dict[str, Any], steps: set[str], reason: str) -> None:
    computed = project.computed(**params)
    assert set(computed) == steps
    assert reason in computed["train" if "train" in steps else "prepare"]
    assert project.computed() == {}


def test_a_librarys_version_counts_where_it_is_used(project: Project) -> None:
    project.install("1.1")
    assert project.computed() == {"train": "library fakelib 1.0 -> 1.1"}
    project.install("1.0")
    assert project.computed() == {}


def test_pythons_minor_version_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    class Version(tuple[int, ...]):
        major, minor = 3, 99

    monkeypatch.setattr(sys, "version_info", Version((3, 99, 0)))
    computed = project.computed()
    assert set(computed) == {"prepare", "train"}
    assert "Python 3." in computed["prepare"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("flow.py", "# keep what counts", "# keep what counts, and no more"),
        ("flow.py", '"""Fit."""', '"""Fit a line, at length."""'),
        ("flow.py", '"""A small project."""', '"""Another sentence."""'),
        ("flow.py", "scaled * rate * shape.FACTOR", "(scaled  *  rate\n            * shape.FACTOR)"),
        ("flow.py", "return 1\n", "return 2\n"),
        ("tools/shape.py", "OTHER = 1", "OTHER = 2"),
        ("tools/clean.py", "def clean(rows):", "\n\n\n# moved down\ndef clean(rows):"),
    ],
    ids=["comment", "docstring", "module docstring", "layout", "unreached", "unread constant", "place"],
)
def test_what_does_not_matter_runs_nothing(project: Project, name: str, old: str, new: str) -> None:
    project.edit(name, old, new)
    assert project.computed() == {}


def test_a_moved_project_runs_nothing(project: Project, tmp_path: Path) -> None:
    moved = tmp_path / "far" / "away"
    moved.parent.mkdir()
    project.folder = project.folder.rename(moved)
    assert project.computed() == {}


def test_going_back_finds_the_old_result(project: Project) -> None:
    project.edit("tools/deep.py", "1000", "2")
    assert set(project.computed()) == {"prepare", "train"}
    project.edit("tools/deep.py", "2", "1000")
    assert project.computed() == {}


SETTINGS = """
import dataclasses
import enum

BASE = 1


@dataclasses.dataclass
class Settings:
    size: int
    unit = "m"

    def rate(self):
        return self.size * BASE


class Mode(enum.Enum):
    FAST = 1

    def factor(self):
        return 3
"""
ASKED = """
import slipway as sw
from tools.settings import Mode, Settings


@sw.step
def alone(settings):
    return f"{settings.rate()} {settings.unit}"


@sw.step
def inside(settings):
    return settings["all"][0].rate()


@sw.step
def mode(chosen):
    return chosen.factor()


@sw.pipeline
def release():
    return alone(Settings(2)), inside({"all": [Settings(2)]}), mode(Mode.FAST)
"""


@pytest.mark.parametrize(
    ("old", "new", "steps", "reason"),
    [
        ("self.size * BASE", "self.size / BASE", {"alone", "inside"}, "class tools.settings:Settings changed"),
        ('unit = "m"', 'unit = "km"', {"alone", "inside"}, "class tools.settings:Settings changed"),
        ("BASE = 1", "BASE = 2", {"alone", "inside"}, "constant tools.settings:BASE changed"),
        ("return 3", "return 4", {"mode"}, "class tools.settings:Mode changed"),
    ],
    ids=["method", "attribute", "what a method reaches", "enum"],
)
def test_the_class_of_an_argument_is_code(project: Project, old: str, new: str, steps: set[str], reason: str) -> None:
    project.write("tools/settings.py", SETTINGS)
    project.write("flow.py", ASKED)
    assert set(project.computed()) == {"alone", "inside", "mode"}
    assert project.computed() == {}
    project.edit("tools/settings.py", old, new)
    computed = project.computed()
    assert set(computed) == steps
    assert all(reason in told for told in computed.values())
    assert project.computed() == {}


def test_a_step_that_uses_a_value_of_unknown_content_is_not_cached(project: Project) -> None:
    project.write("tools/shape.py", "import msgspec\nFACTOR = 10\nDECODER = msgspec.json.Decoder()\n")
    project.edit("flow.py", "scaled * rate", "shape.DECODER.decode(b'1') * scaled * rate")
    for _ in range(2):
        told = project.computed()
        assert set(told) == {"train"}
        assert "not cached: its code uses tools.shape:DECODER (msgspec.json.Decoder), whose content" in told["train"]


def test_mixed_changes_name_each_cause(project: Project) -> None:
    project.edit("tools/shape.py", "FACTOR = 10", "FACTOR = 11")
    project.edit("flow.py", "# keep what counts", "# else")
    told = project.computed(rate=0.5)
    assert told == {"train": "argument rate changed, constant tools.shape:FACTOR changed"}
