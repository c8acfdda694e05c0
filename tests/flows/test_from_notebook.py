"""From a notebook to a project: what becomes a step, what serves a request, and what is refused by name."""

import json
import re
from pathlib import Path

import pytest

from slipway.errors import InvalidInput, StepFailed
from slipway.flows.from_notebook import Draft, draft

pytest.importorskip("sklearn", reason="the notebooks need scikit-learn: pip install 'slipway[sklearn]'")

LOAD = """import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
chance = np.random.default_rng(0)
a, b = chance.normal(size=60), chance.normal(size=60)
y = a * 2 + b
b[::11] = np.nan
df = pd.DataFrame({"a": a, "b": b, "k": chance.choice(["u", "v"], 60), "y": y})"""
FIT = """X, Xt, y, yt = train_test_split(df[cols], df["y"], random_state=0)
model = LinearRegression().fit(X, y)
model.predict(Xt)"""


def drafted(folder: Path, *cells: str, model: str = "") -> Draft:
    document = {
        "cells": [{"cell_type": "code", "execution_count": None, "source": cell} for cell in cells],
        "metadata": {},
    }
    (folder / "some.ipynb").write_text(json.dumps(document))
    return draft(folder / "some.ipynb", project="some", model=model)


def prepare_in(made: Draft) -> str:
    return made.text.split("def prepare(")[1].split("\n\n\n")[0]


def test_the_cells_own_lines_stand_in_the_steps(tmp_path: Path) -> None:
    odd = 'df["b"] = df["b"].fillna(0)   # keep   this\ndf["n"] = len("""two\n  lines""") + df["a"]'
    made = drafted(tmp_path, LOAD, odd, "cols = ['a', 'b', 'n']", FIT)
    assert (
        '    df["b"] = df["b"].fillna(0)   # keep   this\n    df["n"] = len("""two\n  lines""") + df["a"]\n'
        in made.text
    )
    assert list(made.written.steps) == ["make_df", "change_df", "fit_model"]
    assert "cols = ['a', 'b', 'n']" in made.text.split("@sw.step")[0], "a constant stands at the top"


def test_what_looks_at_one_row_is_taken_over(tmp_path: Path) -> None:
    cell = "df['r'] = df['a'].abs() + 1\ndf['is_u'] = df['k'].apply(lambda k: k == 'u')\ncols = ['a', 'r', 'is_u']"
    made = drafted(tmp_path, LOAD, cell, FIT)
    assert "df['r'] = df['a'].abs() + 1\n    df['is_u'] = df['k'].apply(lambda k: k == 'u')" in prepare_in(made)
    assert made.made.columns == ["a", "k"]
    assert made.made.sites == {}
    assert made.rows_alone == 60


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        ("df['b'] = df['b'].fillna(df['b'].mean())", "cell 2, line 1: df['b'].mean()"),
        ("n = df['a'].std()\ndf['a'] = df['a'] / n", ""),
        ("for c in ['a', 'b']:\n    df[c] = (df[c] - df[c].min()) / (df[c].max() - df[c].min())", "cell 2, line 2: df[c].max()"),
        ("def centred(s):\n    return s - s.mean()\ndf['a'] = centred(df['a'])", "cell 2, line 2: s.mean()"),
        ("far = df.groupby('k')['a'].mean()\ndf['a'] = df['k'].map(far)", ""),
        ("from sklearn.preprocessing import LabelEncoder\ndf['a'] = LabelEncoder().fit_transform(df['k'])", "cell 2, line 2: LabelEncoder().fit_transform(df['k'])"),
        ("df['a'] = df['k'].astype('category').cat.codes", "cell 2, line 1: df['k'].astype('category')"),
        ("df['a'] = np.log1p(df['a'].clip(lower=df['a'].quantile(0.1)).abs())", "cell 2, line 1: df['a'].quantile(0.1)"),
    ],
)  # fmt: skip
def test_what_looks_at_other_rows_is_named_and_taken_from_training(tmp_path: Path, cell: str, place: str) -> None:
    made = drafted(tmp_path, LOAD, "df = df.fillna({'b': 0.0})\ncols = ['a', 'b']", cell, FIT)
    names = [site.name for site in made.made.all_sites]
    assert (place.replace("cell 2", "cell 3") in names) if place else made.made.states
    assert made.rows_alone == 60


def test_a_mean_along_a_row_looks_at_no_other_row(tmp_path: Path) -> None:
    made = drafted(tmp_path, LOAD, "df['m'] = df[['a', 'b']].mean(axis=1)\ncols = ['m']", FIT)
    assert made.made.sites == {}


def test_rows_that_are_left_out_are_left_out_alone_too(tmp_path: Path) -> None:
    made = drafted(
        tmp_path, LOAD, "df = df.dropna().reset_index(drop=True)\ndf = df.drop_duplicates()\ncols = ['a', 'b']", FIT
    )
    assert made.rows_alone == 60
    assert made.made.columns == ["a", "b"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("df['p'] = df['a'].shift(1).fillna(0)", r"Cell 2, line 1, column 'p': `shift`.*sw.last\(\"a\""),
        (
            "df['p'] = 1\ndf['p'] = df['a'].rolling(3, min_periods=1).mean()",
            r"Cell 2, line 2, column 'p': `rolling`.*sw.windows",
        ),
        (
            "df['p'] = df.groupby('k')['a'].transform('max')",
            r"Cell 2, line 1, column 'p': `transform`.*df.groupby\('k'\)\['a'\].max\(\)",
        ),
        ("df['p'] = df['a'].rank()", r"Cell 2, line 1, column 'p': `rank`"),
        ("df['p'] = pd.qcut(df['a'], 3, labels=False)", r"Cell 2, line 1, column 'p': `qcut`"),
        ("df['p'] = df.groupby('k')['y'].transform('mean')", r"Cell 2, line 1, column 'y': .*the truth of other rows"),
        (
            "t = df.groupby('k')['y'].mean()\ndf['p'] = df['k'].map(t)",
            r"Cell 2, line 1, column 'y': .*the truth of other rows",
        ),
    ],
)
def test_a_leak_across_rows_is_refused_by_cell_line_and_column(tmp_path: Path, cell: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        drafted(tmp_path, LOAD, cell + "\ncols = ['a', 'p']", FIT)
    assert re.search(said, str(refused.value), re.DOTALL), str(refused.value)


def test_random_numbers_go_on_from_step_to_step(tmp_path: Path) -> None:
    split = "mask = np.random.rand(len(df)) < 0.7\ntrain = df[mask]\ntest = df[~mask]"
    fit = "model = LinearRegression().fit(train[['a']], train['y'])\nmodel.predict(test[['a']])"
    seeded = drafted(tmp_path, LOAD + "\nnp.random.seed(3)", split, fit)
    assert "numpy_random_state = numpy.random.get_state()" in seeded.text
    assert "def release() ->" in seeded.text
    unseeded = drafted(tmp_path, LOAD, split, fit)
    assert "def release(seed: int = 0)" in unseeded.text
    assert any("without a seed" in note for note in unseeded.notes)


def test_cells_that_show_something_are_no_steps(tmp_path: Path) -> None:
    made = drafted(
        tmp_path, LOAD, "import matplotlib.pyplot as plt\nplt.hist(df['a'])", "df.describe()", "cols = ['a']", FIT
    )
    assert "matplotlib" not in made.text
    assert any(note.startswith("plots are left out: cell 2") for note in made.notes)
    assert any("only show something: cells 2, 3" in note for note in made.notes)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["x = 1"], "fits no model"),
        ([LOAD, "a = Ridge().fit(df[['a']], df['y'])", "b = LinearRegression().fit(df[['a']], df['y'])"], "fits 2 models: a, b"),
        ([LOAD, "def fit():\n    return Ridge().fit(df[['a']], df['y'])\nm = fit()"], "Nothing in the notebook shows"),
        ([LOAD, "m = LogisticRegression().fit(df[['a']], df['a'].round().astype(int))"], "classes"),
        ([LOAD, "z = df", "z['a'] = 1.0", "m = Ridge().fit(df[['a']], df['y'])"], "Cell 3 changes 'df' by another name"),
        (["import no_such_library"], "Cell 1, line 1 imports 'no_such_library'"),
    ],
)  # fmt: skip
def test_a_notebook_that_cannot_be_one_is_a_sentence(tmp_path: Path, cells: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        drafted(tmp_path, *cells)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("x = 1\ny = x / 0", "line 2: ZeroDivisionError"),
        ("open('gone.csv')", "gone.csv"),
        ("import sys\nsys.exit()", "SystemExit"),
    ],
)
def test_a_cell_that_fails_is_named(tmp_path: Path, cell: str, said: str) -> None:
    with pytest.raises(StepFailed, match=f"Cell 2 failed .*{said}"):
        drafted(tmp_path, "ok = True", cell)


def test_of_several_models_the_named_one_is_served(tmp_path: Path) -> None:
    cells = [
        LOAD,
        "one = Ridge().fit(df[['a']], df['y'])",
        "two = LinearRegression().fit(df[['a', 'y']], df['b'].fillna(0))",
    ]
    assert drafted(tmp_path, *cells, model="one").made.columns == ["a"]
    with pytest.raises(InvalidInput, match=r"no fitted model called 'on'.*Did you mean 'one'"):
        drafted(tmp_path, *cells, model="on")


def test_polars_expressions_over_all_rows_are_taken_from_training(tmp_path: Path) -> None:
    load = LOAD + "\nimport polars as pl\ndf = pl.DataFrame({'a': a, 'b': np.nan_to_num(b), 'y': y})"
    cell = "df = df.with_columns(pl.col('a').fill_null(pl.col('a').mean()), c=pl.col('b') / pl.col('b').max())\ncols = ['a', 'c']"
    made = drafted(tmp_path, load, cell, FIT)
    assert [site.kind for site in made.made.all_sites] == ["expression", "expression"]
    with pytest.raises(InvalidInput, match=r"Cell 2, line 1, column 'c': `over`"):
        drafted(tmp_path, load, "df = df.with_columns(c=pl.col('b').mean().over(pl.col('a') > 0))\ncols = ['c']", FIT)
    with pytest.raises(InvalidInput, match=r"Cell 2, line 1, column 'c': `shift`"):
        drafted(tmp_path, load, "df = df.with_columns(c=pl.col('b').shift(1).fill_null(0))\ncols = ['c']", FIT)


def test_what_the_notebook_held_out_is_evaluated_and_the_gate_passes_for_its_own_model(tmp_path: Path) -> None:
    made = drafted(tmp_path, LOAD, "cols = ['a']", FIT, "df.head()")
    assert made.judged is not None
    assert (made.judged.asked, made.judged.truth, made.judged.rows, made.judged.label) == ("Xt", "yt", 15, "y")
    assert made.judged.metric == "mae"
    assert made.judged.value <= made.judged.limit <= 1.5 * made.judged.value + 1e-6
    assert 'sw.held_out(served_model, rows, Xt, yt, label="y")' in made.text
    assert f'gate = sw.Gate(sw.metric("mae") <= {made.judged.limit})' in made.text


def test_classes_of_texts_are_judged_by_the_second_of_them(tmp_path: Path) -> None:
    cells = [
        LOAD + "\ndf['z'] = np.where(df['y'] > 0, 'yes', 'no')",
        "X_train, X_test, y_train, y_test = train_test_split(df[['a']], df['z'], random_state=0)",
        "model = LogisticRegression().fit(X_train, y_train)\nmodel.score(X_test, y_test)",
    ]
    made = drafted(tmp_path, *cells)
    assert made.judged is not None
    assert made.judged.metric == "auc"
    assert made.judged.value > 0.9
    assert 0.5 < made.judged.limit < made.judged.value


def test_a_notebook_that_holds_nothing_out_has_no_gate_and_says_so(tmp_path: Path) -> None:
    made = drafted(
        tmp_path, LOAD, "model = LinearRegression().fit(df[['a']], df['y'])\nmodel.score(df[['a']], df['y'])"
    )
    assert made.judged is None
    assert "gate" not in made.text
    assert any(note.startswith("nothing is evaluated") for note in made.notes)


def test_a_loop_over_a_list_of_frames_changes_them(tmp_path: Path) -> None:
    cells = [
        LOAD + "\nother = pd.DataFrame({'a': a[:20], 'b': 0.5})\nboth = [df, other]",
        "for d in both:\n    d['c'] = d['a'] * 2 + d['b'].fillna(d['b'].mean())",
        "model = LinearRegression().fit(df[['a', 'c']], df['y'])\nguess = model.predict(other[['a', 'c']])",
    ]
    made = drafted(tmp_path, *cells)
    assert "both = [df]  # cell 1, with what becomes of these rows" in prepare_in(made)
    assert made.made.columns == ["a", "b"], "rows that it learned from are served, and what is like them"
    step = made.text.split('"""Cell 2:')[1].split("@sw.step")[0]
    assert "both = [df, other]" in step, "the list is made anew of what the step has"


@pytest.mark.parametrize(
    ("before", "after", "columns"),
    [
        ("import pandas as pd, matplotlib.pyplot as plt\nplt.plot([1])", "", ["a"]),
        ("df = df.sort_values('k')\ntrain = df[df['k'] == 'u']\ntest = df[df['k'] != 'u']", "model = LinearRegression().fit(train[['a']], train['y'])\nmodel.predict(test[['a']])", ["a"]),
        ("", "import joblib\njoblib.dump(model, 'model.joblib')\nagain = joblib.load('model.joblib')", ["a"]),
        ("", "model.predict(Xt[:2])\nmodel.predict(Xt.head())\nmodel.predict(Xt.iloc[[1]])", ["a"]),
        ("", "new = pd.DataFrame({'a': [1.0, 2.0]})\nmodel.predict(new)", ["a"]),
        ("df = pd.get_dummies(df.drop(columns='y'), columns=['k']).assign(y=df['y'])", "", ["a"]),
    ],
)  # fmt: skip
def test_what_public_tutorials_do(tmp_path: Path, before: str, after: str, columns: list[str]) -> None:
    cells = [LOAD, before, "cols = ['a']", *([] if "model =" in after else [FIT]), after, "df.describe()"]
    made = drafted(tmp_path, *(cell for cell in cells if cell))
    assert made.made.columns == columns
    assert "matplotlib" not in made.text
    assert re.search(r"served_model\(.*model", made.text)


def test_columns_of_values_in_polars_are_those_of_training(tmp_path: Path) -> None:
    load = LOAD + "\nimport polars as pl\ndf = pl.DataFrame({'a': a, 'k': df['k'].tolist(), 'y': y})"
    cell = "df = df.to_dummies(columns=['k'])\ncols = ['a', 'k_u', 'k_v']"
    made = drafted(tmp_path, load, cell, FIT)
    assert [site.kind for site in made.made.all_sites] == ["dummies"]
    assert made.made.columns == ["a", "k"]
    assert made.rows_alone == 60


def test_a_proposed_window_has_the_notebooks_own_names(tmp_path: Path) -> None:
    days = "\n".join(f"2024-01-{day:02d},{shop},{day * 3 % 7 + 1}" for day in range(1, 31) for shop in "ab")
    (tmp_path / "sales.csv").write_text(f"day,shop,sold\n{days}\n")
    cells = [
        "import pandas as pd\nfrom sklearn.linear_model import LinearRegression\n"
        "df = pd.read_csv('sales.csv')\ndf['when'] = pd.to_datetime(df['day'])",
        "df['before'] = df.groupby('shop')['sold'].shift(7).fillna(0)",
        "model = LinearRegression().fit(df[['before']], df['sold'])",
    ]
    with pytest.raises(InvalidInput) as refused:
        drafted(tmp_path, *cells)
    assert 'sw.windows("sales", time="day", by=[\'shop\'], before=sw.last("sold", "1w"))' in str(refused.value)


def test_a_figure_of_a_group_without_a_time_is_proposed_as_a_table_that_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        drafted(tmp_path, LOAD, "df['p'] = df.groupby('k')['a'].transform('max')\ncols = ['a', 'p']", FIT)
    found = re.search(r"from training: (p_by = .*?), then\s+(df\['p'\] = .*?)\. Each", str(refused.value), re.DOTALL)
    assert found, str(refused.value)
    cell = "\n".join(re.sub(r"\s+", " ", line) for line in found.groups())
    assert drafted(tmp_path, LOAD, f"{cell}\ncols = ['a', 'p']", FIT).rows_alone == 60
