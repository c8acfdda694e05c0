"""The example plug-ins: short, installed, named by name, used by a project from end to end, and passing their suites."""

import gzip
import json
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import answer, ask, slipway, stop_all

from slipway.hosts.project import open_project
from slipway.ledger import entries
from slipway.loop.notifying import route, send_due
from slipway.operations.declare import call
from slipway.operations.rollouts import Reconcile
from slipway.operations.table import operation
from slipway.records.schedules import Firing

pytest.importorskip("sklearn", reason="the example format needs pandas: pip install 'slipway[sklearn]'")

HERE = Path(__file__).parents[2] / "examples" / "plugins"
CODE = HERE / "src" / "slipway_examples"
GOOD, BAD = "4006381333931", "4006381333932"
PROJECT = """
import pandas as pd
import slipway as sw
from slipway_examples.format import Scorecard


@sw.table(
    key="id",
    source=sw.custom_source("gzipped_lines", path="orders.jsonl.gz"),
    checks=[sw.custom_check("barcode", column="code", severity="{severity}")],
)
def orders(): ...


@sw.pipeline
def points():
    rows = pd.DataFrame({{"age": [30.0, 41.5, 67.0], "income": [1.0, 2.5, 0.5]}})
    return sw.Model(Scorecard([2, 0.5], base=1.0), sample=rows, format="scorecard")


delays = sw.Endpoint(
    "points", pipeline=points, monitors=[sw.custom_monitor("stuck_score", name="stuck", window="1d", share=0.8)]
)
nightly = sw.Schedule(points, when=[sw.custom_trigger("file_arrived", path="{drop}")])
"""
SETTINGS = """
[project]
name = "shop"
module = "shop_project"

[notify.channels.box]
kind = "mailbox"
url = "{box}"
"""


def write_orders(folder: Path, *rows: tuple[int, str]) -> None:
    with gzip.open(folder / "orders.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"id": id, "code": code}) + "\n" for id, code in rows)


def test_each_is_at_most_50_lines_and_each_kind_is_there() -> None:
    declared = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["entry-points"]
    kinds = {"check", "monitor", "notifier", "trigger", "source", "format"}
    assert set(declared) == {f"slipway.{kind}" for kind in kinds}
    assert {path.stem for path in CODE.glob("*.py")} - {"__init__"} == kinds
    assert all(len(path.read_text().splitlines()) <= 50 for path in CODE.glob("*.py"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a throwaway environment with everything that is here, into which the package is built and installed."""
    pytest.importorskip("uv", reason="the plug-ins are installed by uv: pip install 'slipway[envs]'")
    home = tmp_path_factory.mktemp("installed") / "venv"
    uv = [sys.executable, "-m", "uv", "--quiet", "--offline"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(home)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    python = home / "bin" / "python"
    install = ["pip", "install", "--no-deps", "--no-build-isolation", "--python", str(python), str(HERE)]
    done = subprocess.run([*uv, *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.full
def test_each_passes_its_shipped_suite_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    suites = [str(HERE / "test_plugins.py"), f"--rootdir={HERE}", f"--basetemp={tmp_path / 'of'}"]
    done = subprocess.run(
        [str(installed), "-P", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *suites],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert not {"skipped", "failed"} & set(done.stdout.split())


@pytest.fixture
def shop(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "executable", str(installed))
    folder, box, drop = tmp_path / "shop", tmp_path / "box", tmp_path / "drop"
    for one in (folder, box, drop):
        one.mkdir()
    (folder / "slipway.toml").write_text(SETTINGS.format(box=box))
    (folder / "shop_project.py").write_text(PROJECT.format(severity="block", drop=drop / "orders.csv"))
    try:
        yield folder
    finally:
        stop_all(folder / ".slipway")


@pytest.mark.full
def test_a_project_uses_all_of_them(installed: Path, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one["about"]: one for one in answer("doctor", cwd=shop)}
    assert found["plug-in: check barcode"]["found"] == "of slipway-examples 0.1.0"
    assert sum(about.startswith("plug-in: ") and one["is_well"] for about, one in found.items()) == 6

    write_orders(shop, (1, GOOD), (2, BAD))  # the source reads, the check refuses
    told = slipway("data", "sync", "orders", cwd=shop, fails=2)
    assert "barcode(column='code')" in told
    write_orders(shop, (1, GOOD), (3, GOOD))
    slipway("data", "sync", "orders", cwd=shop)
    assert "rows   2\n" in slipway("data", "show", "orders", cwd=shop)

    slipway("run", "points", cwd=shop)  # the format keeps, loads and serves
    (model,) = answer("models", "list", cwd=shop)["models"]
    assert model["version"]["name"] == "points"
    url = answer("deploy", "points", cwd=shop)["status"]["url"]
    rows = [{"age": 30.0, "income": 4.0}, {"age": 0.5, "income": 0.0}]
    assert ask(url, "points", rows) == [63.0, 2.0]

    ask(url, "points", [{"age": 1.0, "income": 0.0}] * 100)  # the monitor alarms
    watched = answer("endpoints", "watch", "points", cwd=shop)
    assert watched["predictions"] == 102
    assert [(one["name"], one["state"]) for one in watched["findings"]] == [("stuck", "alert")]
    (incident,) = watched["incidents"]
    assert (incident["cause"], incident["about"]) == ("custom", "stuck")
    assert "98% of 102 answers are 3" in incident["sentence"]

    slipway("schedules", "apply", cwd=shop)
    (packages,) = installed.parents[1].glob("lib/python*/site-packages")
    monkeypatch.syspath_prepend(packages)
    with open_project(shop) as project:  # the notifier delivers what was found, the trigger starts what waits
        route(project.workspace)
        assert send_due(project.workspace, "here") == 1
        (message,) = (shop.parent / "box").glob("*.json")
        assert "98% of 102 answers are 3" in message.read_text()
        (shop.parent / "drop" / "orders.csv").write_text("1")
        for _ in range(3):
            call(project.workspace, operation("loop.reconcile"), Reconcile(settle=True))
        with project.workspace.ledger.read() as tx:
            (firing,) = entries.every(tx, Firing, project="shop")
    assert firing.trigger.startswith("custom file_arrived(path=")
    assert (firing.state, firing.model) == ("finished", "points")
