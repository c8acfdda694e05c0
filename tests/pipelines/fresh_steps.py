"""A small project on disk that is edited and run anew, as a later process would run it."""

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from slipway.code.libraries import version_of
from slipway.ledger import provenance
from slipway.pipelines import engine, reasons
from slipway.ports.workspace import Workspace
from slipway.records.runs import StepRun

HEAD = "import slipway as sw\n"
PIPELINE = "\n@sw.pipeline\ndef release({parameters}):\n    return answer({arguments})\n"


class Outcome:
    """What one run came to: the pipeline's value, the steps that were computed with their reasons, all records."""

    def __init__(self, value: Any, steps: list[StepRun]) -> None:
        self.value = value
        self.steps = steps
        self.computed = {step.name: step.reason for step in steps if step.state != "cached"}


class Fresh:
    """A project of text files.

    Args:
        folder: Where `project/`, `library/` and `data/` are made; `data/` is the current folder while it runs.
        workspace: Where runs are recorded.
        code: `flow.py`, with further files behind lines "# file: tools/deep.py". Without `@sw.pipeline` in it, one is
            added that calls the step `answer`.
        parameters: What that pipeline takes: "n=1".
    """

    def __init__(self, folder: Path, workspace: Workspace, code: str, parameters: str = "") -> None:
        self.folder, self.installed, self.data = folder / "project", folder / "library", folder / "data"
        self.workspace = workspace
        for one in (self.folder, self.installed, self.data):
            one.mkdir(parents=True)
        first, *rest = re.split(r"^# file: (.+)\n", code, flags=re.M)
        if "@sw.pipeline" not in first:
            names = re.findall(r"(\w+)=", parameters)
            first += PIPELINE.format(parameters=parameters, arguments=", ".join(names))
        self.write("flow.py", HEAD + first)
        for name, text in zip(rest[::2], rest[1::2], strict=True):
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py" and len(path.relative_to(self.folder).parts) > 1:
            (path.parent / "__init__.py").touch()
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def install(self, version: str) -> None:
        """Install the library `fakelib` in this version, instead of any other."""
        for old in self.installed.glob("*.dist-info/*"):
            old.unlink()
            old.parent.rmdir()
        about = self.installed / f"fakelib-{version}.dist-info" / "METADATA"
        about.parent.mkdir(parents=True)
        about.write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n")
        (self.installed / "fakelib.py").write_text("def zero():\n    return 0\n")

    def forget(self) -> None:
        tops = {path.name.removesuffix(".py") for path in (*self.folder.iterdir(), *self.installed.iterdir())}
        for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
            del sys.modules[name]
        importlib.invalidate_caches()
        if any(self.installed.iterdir()):  # what is installed may have changed
            version_of.cache_clear()
            provenance.environment.cache_clear()

    def run(self, *, use_cache: bool = True, **params: Any) -> Outcome:
        path, cwd, written = list(sys.path), os.getcwd(), sys.dont_write_bytecode
        sys.path[:0] = [str(self.folder), str(self.installed)]
        sys.dont_write_bytecode = True  # two edits within one second would be one to the interpreter's own cache
        os.chdir(self.data)
        self.forget()
        try:
            pipeline = importlib.import_module("flow").release
            made = engine.run(self.workspace, pipeline, params, use_cache=use_cache)
            with self.workspace.ledger.read() as tx:
                return Outcome(made.value, reasons.steps_of(tx, made.run.id))
        finally:
            os.chdir(cwd)
            sys.path[:] = path
            sys.dont_write_bytecode = written
            self.forget()

    def answer(self, **params: Any) -> StepRun:
        """The record of the step `answer` in a new run."""
        (found,) = [step for step in self.run(**params).steps if step.name == "answer"]
        return found
