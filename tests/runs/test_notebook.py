"""A run inside a notebook keeps the cells that ran: in a real IPython, and in a real kernel."""

import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.runs import notebook, search, tracking
from slipway.server import notebooks

RUN = "from slipway.runs import tracking\nwith tracking.start(workspace, system_metrics=False, **options) as run:\n    pass"


@pytest.fixture
def shell(workspace: Workspace, tmp_path: Path) -> Iterator[Any]:
    """IPython's shell around the test; nothing of it is left behind."""
    interactive = pytest.importorskip(
        "IPython.core.interactiveshell", reason="needs IPython: make test-all installs it"
    )
    history = pytest.importorskip("traitlets.config").Config({"HistoryManager": {"enabled": False}})
    made = interactive.InteractiveShell.instance(config=history)
    made.history_manager.outputs.clear()  # all shells of a process share them
    made.history_manager.exceptions.clear()
    made.user_ns.update(workspace=workspace, options={})
    yield made
    interactive.InteractiveShell.clear_instance()


def ran(shell: Any, *cells: str) -> Run:
    for cell in cells:
        shell.run_cell(cell, store_history=True)
    shell.run_cell(RUN, store_history=True)
    run: Run = shell.user_ns["run"].record
    return run


def cells(workspace: Workspace, run: Run, name: str = "notebook.ipynb") -> list[dict[str, Any]]:
    (kept,) = [artifact for artifact in run.artifacts if artifact.name == name]
    found = json.loads(workspace.blobs.get(kept.digest))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    return list(found["cells"])


def test_outside_ipython_nothing_is_kept(workspace: Workspace) -> None:
    with tracking.start(workspace, "script", system_metrics=False) as run:
        pass
    assert run.record.artifacts == ()


def test_the_cells_that_ran_are_kept_with_what_is_known_of_their_outputs(shell: Any, workspace: Workspace) -> None:
    picture = "from IPython.display import display\ndisplay({'image/png': b'abc', 'text/plain': 'p'}, raw=True)"
    run = ran(shell, "x = 1\nprint('said', x)", picture, "%matplotlib_is_no_magic", "1 / 0", "x + 1")
    kept = cells(workspace, run)
    assert [cell["execution_count"] for cell in kept] == [1, 2, 3, 4, 5, 6]
    assert kept[0]["source"] == "x = 1\nprint('said', x)"
    assert kept[2]["source"] == "%matplotlib_is_no_magic"
    assert kept[5]["source"] == RUN, "the cell that is under way is there too"
    assert kept[0]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "said 1\n"}]
    assert any(output.get("data", {}).get("image/png") == "YWJj" for output in kept[1]["outputs"])
    assert kept[3]["outputs"][-1]["ename"] == "ZeroDivisionError"
    assert {"text/plain": "2"} in [output.get("data") for output in kept[4]["outputs"]]
    assert "x + 1" in notebooks.to_html(workspace.blobs.get(run.artifacts[0].digest))


def test_a_run_that_fails_keeps_them_too(shell: Any, workspace: Workspace) -> None:
    shell.run_cell(RUN.replace("pass", "raise KeyError('x')"), store_history=True)
    run = search.get_run(workspace, shell.user_ns["run"].id)
    assert run.state == "failed"
    assert len(cells(workspace, run)) == 1


def test_only_the_outer_run_keeps_them(shell: Any, workspace: Workspace) -> None:
    shell.run_cell(
        "from slipway.runs import tracking\n"
        "with tracking.start(workspace, system_metrics=False) as outer:\n"
        "    with tracking.start(workspace, system_metrics=False) as inner:\n        pass",
        store_history=True,
    )
    assert [artifact.name for artifact in shell.user_ns["outer"].record.artifacts] == ["notebook.ipynb"]
    assert shell.user_ns["inner"].record.artifacts == ()


def test_what_somebody_stored_under_the_name_stays(shell: Any, workspace: Workspace) -> None:
    shell.run_cell(RUN.replace("pass", "run.log_text('notebook.ipynb', 'mine')"), store_history=True)
    run = shell.user_ns["run"].record
    assert [artifact.name for artifact in run.artifacts] == ["notebook.ipynb", "notebook-2.ipynb"]
    assert workspace.blobs.get(run.artifacts[0].digest) == b"mine"


def test_secrets_are_masked_and_halves_of_letters_replaced(
    shell: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "hunter2hunter2")
    run = ran(shell, "print('hunter2hunter2')", "print('\\ud800')", "'hunter2hunter2'")
    data = workspace.blobs.get(run.artifacts[0].digest)
    assert b"hunter2" not in data
    assert b"***" in data


def test_outputs_beyond_measure_are_left_out_and_code_is_not(shell: Any, workspace: Workspace) -> None:
    run = ran(shell, "print('x' * 5_000_000)", "print('small')")
    kept = cells(workspace, run)
    assert [cell["source"] for cell in kept[:2]] == ["print('x' * 5_000_000)", "print('small')"]
    assert kept[0]["outputs"] == []
    assert run.artifacts[0].size_bytes < 100_000


def test_the_run_is_called_as_the_notebook(shell: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/deep/train.ipynb")
    run = ran(shell)
    assert (run.name, run.code.entry) == ("train", "train.ipynb")
    shell.user_ns["__vsc_ipynb_file__"] = "C:\\work\\other one.ipynb"
    assert notebook.file_name() == "other one.ipynb"
    del shell.user_ns["__vsc_ipynb_file__"]
    monkeypatch.setenv("JPY_SESSION_NAME", "console-1-abcdef")
    assert notebook.file_name() == ""


@pytest.mark.full
def test_a_notebook_that_a_real_kernel_executes(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel: make test-all installs them")
    pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel: make test-all installs them")
    nbformat = pytest.importorskip("nbformat")
    v4 = nbformat.v4
    made = v4.new_notebook(
        cells=[
            v4.new_code_cell("import slipway as sw\nprint('begun')"),
            v4.new_code_cell("from IPython.display import HTML\nHTML('<b>bold</b><script>1</script>')"),
            v4.new_code_cell("with sw.run(system_metrics=False) as run:\n    run.log_metric('auc', 0.7)\nrun.id"),
        ]
    )
    client = nbclient.NotebookClient(made, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    id = made.cells[2].outputs[-1]["data"]["text/plain"].strip("'")
    listed = subprocess.run(
        [sys.executable, "-m", "slipway", "api", "runs.artifact", f"id={id}", "name=notebook.ipynb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert listed.returncode == 0, listed.stderr
    answer = json.loads(listed.stdout)
    data = b64decode(answer["data"])
    nbformat.validate(json.loads(data))
    page = notebooks.to_html(data)
    assert "print(&#39;begun&#39;)" in page
    assert "<script>" not in page
