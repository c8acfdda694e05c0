"""`sw.endpoint_of`: what it declares, which rows judge, and what it says of what cannot be."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.flows.endpoint_of import _as, _Taught
from slipway.hosts.pipeline_run import _home, _ingest
from slipway.hosts.project import Project, open_project

pytest.importorskip("sklearn", reason="its models need scikit-learn: pip install 'slipway[sklearn]'")
from sklearn.linear_model import LinearRegression

ROWS = pl.DataFrame(
    {"case": range(200), "x": [float(n % 17) for n in range(200)], "y": [2.0 * (n % 17) for n in range(200)]}
)


def rows() -> pl.DataFrame:
    return ROWS


def train(rows: Any) -> Any:
    return LinearRegression().fit(rows[["x"]], rows["y"])


def declare(**changed: Any) -> sw.Endpoint:
    given = {"train": train, "rows": rows, "label": "y", "metric": "mae", **changed}
    return sw.endpoint_of("sums", **given)


def test_it_declares_what_one_would_write() -> None:
    endpoint = declare(key="case", labels=50)
    assert endpoint.retrain is not None
    assert endpoint.pipeline is endpoint.retrain.pipeline
    assert [one.spec.kind for one in endpoint.retrain.when] == ["labels", "degraded"]
    assert endpoint.retrain.when[0].spec.labels == 50
    assert [one.spec().name for one in endpoint.monitors] == ["drift", "quality of mae", "service"]
    assert [type(one) for one in endpoint.rollout] == [sw.Canary]
    assert endpoint.gate is not None
    assert [(one.kind, one.metric, one.margin) for one in endpoint.gate.spec.checks] == [("champion", "r2", 0.05)]
    assert declare(metric="auc").gate.spec.checks[0].metric == "auc"  # type: ignore[union-attr]
    assert endpoint.parts() == (endpoint.pipeline, endpoint.pipeline, endpoint.retrain.tables[0])


def test_what_is_given_replaces_the_default() -> None:
    endpoint = declare(rollout=[], monitors=[sw.Drift(window="7d")], workers=2)
    assert (endpoint.rollout, endpoint.workers) == ([], 2)
    assert [one.spec().name for one in endpoint.monitors] == ["drift"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"train": LinearRegression()}, r"fitted estimator or a frame is not enough.*def train"),
        ({"rows": ROWS}, r"as rows.*def rows"),
        ({"rows": train}, r"cannot be the rows.*called without arguments"),
        ({"train": rows}, r"cannot be the train.*called with the rows"),
        ({"metric": "maee"}, r"'maee'.*'mae'"),
        ({"labels": 0}, r"new_labels.*whole number"),
    ],
)
def test_what_cannot_be_is_said_at_once(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidDeclaration, match=f"(?s){says}"):
        declare(**changed)


MODULE = """
import polars as pl
from sklearn.linear_model import LinearRegression

import slipway as sw

def rows():
    return pl.read_csv("rows.csv")

def train(rows):
    return LinearRegression().fit(rows[["x"]], rows["y"])

sums = sw.endpoint_of("sums", train, rows, label="y", metric="mae", key="case")
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    def make(module: str, text: str) -> Path:
        folder = tmp_path / module
        folder.mkdir()
        (folder / f"{module}.py").write_text(text)
        (folder / "slipway.toml").write_text(f'[project]\nname = "p"\nmodule = "{module}"\n')
        ROWS.write_csv(folder / "rows.csv")
        return folder

    return make


def ingested(project: Project) -> pl.DataFrame:
    (table,) = project.declared(type(declare().retrain.tables[0])).values()  # type: ignore[union-attr]
    _ingest(project.workspace, [table], _home(project, project.workspace))
    found: pl.DataFrame = table.read().collect()
    return found


def test_a_retraining_reads_what_lies_in_the_projects_folder_now(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = made("reads_now", MODULE)
    monkeypatch.chdir(tmp_path)  # a retraining runs in a folder of its own
    with open_project(folder) as project:
        assert ingested(project).height == 200
        ROWS.head(150).write_csv(folder / "rows.csv")
        assert ingested(project).height == 150
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("keys", [("case",), ()])
def test_what_judged_one_version_never_teaches_a_later_one(keys: tuple[str, ...]) -> None:
    taught = _Taught(name="sums", train=train, rows=rows, label="y", keys=keys, time="", metric="mae")
    fit, test = taught._split(ROWS)
    assert fit.height + test.height == 200
    assert 20 <= test.height <= 60
    more = pl.concat([ROWS.reverse(), ROWS.with_columns(pl.col("case") + 1000)])
    later_fit, later_test = taught._split(more)
    assert set(later_fit["case"]).isdisjoint(test["case"])
    assert set(later_test["case"]) > set(test["case"])


def test_by_time_the_last_fifth_judges() -> None:
    taught = _Taught(name="sums", train=train, rows=rows, label="y", keys=(), time="case", metric="mae")
    fit, test = taught._split(ROWS.reverse())
    assert (fit["case"].max(), test["case"].to_list()) == (159, list(range(160, 200)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('label="y"', 'label="why"', "no column 'why', which is named as their label"),
        ('key="case"', 'key="cases"', "no column 'cases', which is named as their key.*'case'"),
        (
            'rows[["x"]]',
            'rows[["x", "y"]].to_pandas() if isinstance(rows, pl.DataFrame) else rows[["x", "y"]]',
            "fitted on its own label",
        ),
        ("return LinearRegression().fit", "LinearRegression().fit", "returned nothing"),
        ('pl.read_csv("rows.csv")', 'pl.read_csv("rows.csv").head(9)', "gives 9 labelled rows"),
        (
            'pl.read_csv("rows.csv")',
            'pl.read_csv("rows.csv").cast({"y": pl.String})',
            "label 'y' of 'sums' holds String",
        ),
        ('metric="mae"', 'metric="auc"', r"watched by its auc, and train\(rows\) returned a regression.*metric='mae'"),
    ],
)
def test_what_the_rows_do_not_hold_is_said_with_the_way_on(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str
) -> None:
    assert old in MODULE
    folder = made(f"odd_{abs(hash(says)) % 10**6}", MODULE.replace(old, new))
    monkeypatch.chdir(folder)

    def trained() -> None:
        with open_project(folder) as project:
            ingested(project)
            project.declared(sw.Endpoint)["sums"].pipeline()

    with pytest.raises((InvalidInput, InvalidDeclaration), match=f"(?s){says}"):
        trained()


@pytest.mark.parametrize(
    ("dtype", "known", "wanted"),
    [
        (pl.Int64(), ["5", "A-17", None], [5, None, None]),
        (pl.Datetime("ns"), ["2025-01-21T00:00:00.000", "2025-01-21", "soon"], [datetime(2025, 1, 21)] * 2 + [None]),
        (pl.Datetime("us", "UTC"), ["2025-01-21T02:00:00+02:00", None], [datetime(2025, 1, 21, tzinfo=UTC), None]),
        (pl.Date(), ["2025-01-21", "2025-01-21T05:00:00Z"], [date(2025, 1, 21)] * 2),
        (pl.String(), ["x"], ["x"]),
    ],
)
def test_what_was_answered_has_the_rows_types_or_is_unknown(dtype: Any, known: list[Any], wanted: list[Any]) -> None:
    found = _as(pl.DataFrame({"key": known}, schema={"key": pl.String}), "key", dtype)
    assert found.dtype == dtype
    assert found.to_list() == wanted
    assert _as(pl.DataFrame({"other": known}), "key", dtype).to_list() == [None] * len(known)
