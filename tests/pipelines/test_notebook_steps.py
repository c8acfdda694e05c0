"""Steps in the cells of a notebook are cached as soundly as those in files."""

import linecache
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.pipelines import engine, reasons
from slipway.ports.workspace import Workspace

HELPER = "def twice(x):\n    return 2 * x\n"
CONSTANT = "RATE = 10\n"
DECORATOR = (
    "import functools\ndef more(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(x) + 1\n    return g\n"
)
DECORATED = "@more\ndef once(x):\n    return x\n@functools.cache\ndef kept():\n    return 1\n"
STEP = "import slipway as sw\n\n@sw.step\ndef train(n):\n    return twice(n) * RATE + once(n) + kept()\n"
PIPELINE = "@sw.pipeline\ndef release(n=1):\n    return train(n)\n"


class Notebook:
    """Executes cells as IPython does: each under a name of its own, its source in `linecache`."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.files: list[str] = []

    def execute(self, cell: str) -> None:
        file = f"/nowhere/ipykernel_7/{len(self.files)}.py"
        linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
        self.files.append(file)
        exec(compile(cell, file, "exec"), self.names)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    made = Notebook()
    for cell in (HELPER, CONSTANT, DECORATOR, DECORATED, STEP, PIPELINE):
        made.execute(cell)
    yield made
    for file in made.files:
        del linecache.cache[file]


def computed(workspace: Workspace, notebook: Notebook, **params: Any) -> dict[str, str]:
    run = engine.run(workspace, notebook.names["release"], params).run
    with workspace.ledger.read() as tx:
        return {step.name: step.reason for step in reasons.steps_of(tx, run.id) if step.state != "cached"}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (HELPER.replace("2 *", "3 *"), "helper notebook:twice changed"),
        (CONSTANT.replace("10", "11"), "constant notebook:RATE changed"),
        (DECORATED.replace("return x", "return -x"), "helper notebook:once changed"),
        (DECORATED.replace("return 1", "return 2"), "helper notebook:kept changed"),
        (STEP.replace("* RATE", "- RATE"), "function notebook:train changed"),
    ],
    ids=["helper", "constant", "decorated helper", "memoised helper", "step"],
)
def test_an_edited_cell_reruns_and_is_named(workspace: Workspace, notebook: Notebook, cell: str, reason: str) -> None:
    assert computed(workspace, notebook) == {"train": "first run"}
    notebook.execute(cell)
    assert computed(workspace, notebook) == {"train": reason}
    assert computed(workspace, notebook) == {}


@pytest.mark.parametrize("cell", [HELPER, CONSTANT, STEP, PIPELINE, "# a note\n" + HELPER, DECORATED, "other = 1\n"])
def test_a_cell_executed_again_unchanged_reruns_nothing(workspace: Workspace, notebook: Notebook, cell: str) -> None:
    computed(workspace, notebook)
    notebook.execute(cell)
    assert computed(workspace, notebook) == {}


def test_what_a_cell_reads_is_recorded(
    workspace: Workspace, notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("1")
    notebook.execute("from pathlib import Path\n@sw.step\ndef train(n):\n    return Path('in.txt').read_text()\n")
    computed(workspace, notebook)
    assert computed(workspace, notebook) == {}
    (tmp_path / "in.txt").write_text("2")
    assert computed(workspace, notebook) == {"train": "file in.txt changed"}


SESSION = """
import slipway as sw
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine, reasons
from pathlib import Path

workspace = open_workspace(Path("store"), project="notes")

def told(n=1):
    run = engine.run(workspace, release, {"n": n}).run
    with workspace.ledger.read() as tx:
        print([f"{step.state}: {step.reason}" for step in reasons.steps_of(tx, run.id)])
"""


@pytest.mark.full
def test_in_a_kernel_of_jupyter(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [SESSION, HELPER, CONSTANT, DECORATOR, DECORATED, STEP, PIPELINE, "told()", HELPER, "told()"]
    cells += [HELPER.replace("2 *", "3 *"), "told()", CONSTANT.replace("10", "11"), "told()"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output["text"] for cell in book.cells for output in cell.outputs if output.get("name") == "stdout"]
    assert "finished: first run" in printed[0]
    assert "cached: nothing that it depends on has changed" in printed[1]
    assert "finished: helper notebook:twice changed" in printed[2]
    assert "finished: constant notebook:RATE changed" in printed[3]


def test_an_edited_decorator_is_named(workspace: Workspace, notebook: Notebook) -> None:
    computed(workspace, notebook)
    notebook.execute(DECORATOR.replace("+ 1", "+ 2"))
    notebook.execute(DECORATED)
    assert "helper notebook:more changed" in computed(workspace, notebook)["train"]
    assert computed(workspace, notebook) == {}
