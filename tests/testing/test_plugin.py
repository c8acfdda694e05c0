"""The fixture that pytest finds by itself, in a pytest of its own over a project of its own."""

import subprocess
import sys
from pathlib import Path

PROJECT = """
import polars as pl

import slipway as sw


@sw.table(key="id", checks=[sw.unique("id")])
def numbers() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2, 3]})


@sw.pipeline
def total(times: int = 1) -> int:
    return times * int(numbers.read().collect()["id"].sum())
"""
TESTS = """
from pathlib import Path

import polars as pl
import pytest

from slipway import testing
from slipway.errors import InvalidInput, NotFound


def test_a_pipeline_runs_in_a_store_of_its_own(slipway_project):
    Path("root").write_text(str(slipway_project.workspace.root))
    assert slipway_project.settings.project.name == "tried"
    ran = testing.run(slipway_project, "total", times=2)
    assert (ran.run.state, ran.run.pipeline, ran.result, ran.bundle) == ("finished", "total", 12, "")
    sample = {"numbers": pl.DataFrame({"id": [4, 5]})}
    assert testing.run(slipway_project, "total", sample=sample).result == 9
    with pytest.raises(InvalidInput):
        testing.run(slipway_project, "total", sample={"numbers": pl.DataFrame({"id": [4, 4]})})
    for name, given in (("totals", {}), ("total", {"number": sample["numbers"]})):
        with pytest.raises(NotFound, match="declares no"):
            testing.run(slipway_project, name, sample=given)
"""


def test_pytest_finds_the_fixture_by_itself(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "tried"\nmodule = "tried"\n')
    (tmp_path / "tried.py").write_text(PROJECT)
    (tmp_path / "test_tried.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert not Path((tmp_path / "root").read_text()).exists()
    assert not (tmp_path / ".slipway").exists()


def test_the_plugin_loads_nothing_before_a_test_asks() -> None:
    told = "import sys, slipway.testing.plugin as _; print(sorted(m for m in ('numpy', 'polars', 'slipway.hosts') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
