"""Notebooks read as Python, and what flows between their statements."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.code.cell_display import plots_in, shows_only
from slipway.code.cell_flow import Statement, statements_of
from slipway.code.notebooks import Notebook, read_notebook
from slipway.errors import InvalidInput, NotFound


def written(folder: Path, *cells: str, counts: list[int | None] | None = None, language: str = "python") -> Path:
    """A notebook file of some cells."""
    counts = counts or [None] * len(cells)
    document = {
        "cells": [
            {"cell_type": "code", "execution_count": count, "source": cell.splitlines(keepends=True)}
            for cell, count in zip(cells, counts, strict=True)
        ],
        "metadata": {"kernelspec": {"language": language}},
        "nbformat": 4,
    }
    path = folder / "some.ipynb"
    path.write_text(json.dumps(document))
    return path


def read(folder: Path, *cells: str, **more: Any) -> Notebook:
    return read_notebook(written(folder, *cells, **more))


def one(folder: Path, text: str) -> Statement:
    (found,) = statements_of(read(folder, text).cells)
    return found


def test_lines_of_ipython_are_dropped_or_become_requirements_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    text = "%matplotlib inline\n!pip install -q lightgbm 'polars>=1'\n%time x = 1\nif x:\n    %autoreload\nx?\ny = 2"
    notebook = read(tmp_path, text)
    (cell,) = notebook.cells
    assert cell.source.split("\n")[2] == "x = 1"
    assert cell.source.split("\n")[4] == "    pass  # %autoreload"
    assert cell.tree.body[-1].lineno == 7
    assert notebook.requirements == ("lightgbm", "'polars>=1'")
    assert any("%matplotlib" in note for note in notebook.notes)


def test_a_percent_sign_in_a_text_or_an_expression_is_no_magic(tmp_path: Path) -> None:
    text = 'a = """\n%bash\n!rm\n"""\nb = (7\n% 4)\nc = "%s" % a'
    assert len(read(tmp_path, text).cells[0].tree.body) == 3


@pytest.mark.parametrize(
    "line", ["%%bash\nls", "!wget x", "files = !ls", "%run other.py", "%%R\nx <- 1", "%sql select 1"]
)
def test_other_lines_of_ipython_are_refused_by_name(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidInput, match="Cell 2, line 1 is a line of IPython") as refused:
        read(tmp_path, "x = 1", line)
    assert line.split("\n")[0] in refused.value.what


def test_cells_that_were_run_in_another_order_are_pointed_out(tmp_path: Path) -> None:
    assert read(tmp_path, "a = 1", "b = 2", counts=[1, 2]).notes == ()
    (note,) = read(tmp_path, "a = 1", "b = 2", "c = 3", counts=[1, 5, 4]).notes
    assert "cell 3 was last run as [4], before cell 2 ([5])" in note


def test_what_is_no_notebook_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_notebook(tmp_path / "gone.ipynb")
    for text, said in (("", "it is empty"), ("x", "no JSON"), ("[1]", "no cells"), ('{"worksheets": []}', "format 3")):
        (tmp_path / "odd.ipynb").write_text(text)
        with pytest.raises(InvalidInput, match=said):
            read_notebook(tmp_path / "odd.ipynb")
    with pytest.raises(InvalidInput, match="written in julia"):
        read(tmp_path, "x = 1", language="julia")
    with pytest.raises(InvalidInput, match="holds no code"):
        read(tmp_path, "", "# nothing")
    with pytest.raises(InvalidInput, match=r"Cell 2 of some.ipynb is no Python: line 2: .*def f\(:"):
        read(tmp_path, "x = 1", "y = 2\ndef f(:")


@pytest.mark.parametrize(
    ("text", "reads", "binds", "changes"),
    [
        ("b = a + 1", "a", "b", ""),
        ("df['x'] = df['y'] * k", "df k", "", "df"),
        ("df.drop(columns='x', inplace=True)", "df", "", "df"),
        ("names = df['x'].unique().sort()", "df", "names", ""),
        ("items.append(x)", "items x", "", "items"),
        ("x += 1", "x", "x", "x"),
        ("a, (b, *c) = f(d)", "f d", "a b c", ""),
        ("for c in cols:\n    df[c] = le.fit_transform(df[c])", "cols df le", "c", "df le"),
        ("for d in [train, test]:\n    d['x'] = 1", "train test", "d", "d train test"),
        ("m = {k: f(v) for k, v in d.items() if v}", "d f", "m", ""),
        ("def g(x, y=k):\n    z = x + w\n    return z", "k w", "g", ""),
        ("h = lambda x: x + w", "w", "h", ""),
        ("del df['x']", "df", "", "df"),
        ("with open(p) as f:\n    t = f.read()", "p", "f t", ""),
        ("import os.path, numpy as np", "", "os np", ""),
        ("if a:\n    b = 1\nelse:\n    b = 2", "a", "b", ""),
    ],
)
def test_what_a_statement_reads_binds_and_changes(
    tmp_path: Path, text: str, reads: str, binds: str, changes: str
) -> None:
    found = one(tmp_path, text)
    assert (found.reads, found.binds) == (frozenset(reads.split()), frozenset(binds.split()))
    assert found.changes == frozenset(changes.split())


def test_what_only_one_way_binds_may_keep_its_value(tmp_path: Path) -> None:
    assert one(tmp_path, "if a:\n    b = 1").keeps == {"b"}
    assert one(tmp_path, "for i in r:\n    b = i").keeps == {"b"}


@pytest.mark.parametrize("text", ["exec('x = 1')", "globals()['x'] = 1", "def f():\n    global n\n    n = 1"])
def test_code_that_hides_its_names_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="Cell 1, line"):
        one(tmp_path, text)


def test_plots_and_what_only_they_need_are_found(tmp_path: Path) -> None:
    cells = read(
        tmp_path,
        "import matplotlib.pyplot as plt\nimport pandas as pd\nfig, ax = plt.subplots()\nax.plot(df.x)",
        "df.hist()\ny = df.x",
        "for c in cols:\n    plt.hist(df[c])",
    ).cells
    statements = statements_of(cells)
    assert sorted(plots_in(statements)) == [0, 2, 3, 4, 6]


def test_a_plot_that_others_read_stays(tmp_path: Path) -> None:
    statements = statements_of(read(tmp_path, "import seaborn as sns\ndf = sns.load_dataset('x')", "z = df.x").cells)
    assert plots_in(statements) == frozenset()


def test_what_only_shows_something(tmp_path: Path) -> None:
    assert shows_only(one(tmp_path, "df.head()"))
    assert shows_only(one(tmp_path, "X.shape, y.shape"))
    assert not shows_only(one(tmp_path, "print(x)"))
    assert not shows_only(one(tmp_path, "model.score(X, y)"))
    assert not shows_only(one(tmp_path, "x = 1"))
