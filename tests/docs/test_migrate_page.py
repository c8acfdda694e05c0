"""The commands of docs/migrate.md move three models of a real old service: a pilot, then the wave after it."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression

import old_services
from slipway.cli import main
from slipway.client.endpoint import EndpointClient
from slipway.flows.migrate_phases import AGREE, CRITERIA, FIRST_ANSWERS, LEAST_COMPARED

PAGE = (Path(__file__).parents[2] / "docs" / "migrate.md").read_text()
OLD = "http://127.0.0.1:8000"
PROJECT = """import slipway as sw

churn = sw.Endpoint("churn", key="customer", monitors=[sw.Drift()])
upsell = sw.Endpoint("upsell", key="customer", monitors=[sw.Drift()])
"""


def test_its_table_names_every_criterion_and_its_limits() -> None:
    rows = dict(re.findall(r"^\| (Development|Test/Release|Activation) \| (.*) \|$", PAGE, re.M))
    for one in CRITERIA:
        assert f"`{one.name}`" in rows[one.phase]
    assert f"of {LEAST_COMPARED} requests that both answered {AGREE:.0%}".replace("%", " %") in rows["Test/Release"]
    assert f"had {FIRST_ANSWERS} answers" in rows["Activation"]


@pytest.fixture
def url() -> Iterator[str]:
    """The old service, a process of its own."""
    with subprocess.Popen(
        [sys.executable, old_services.__file__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a team: its fitted models, its requests, and a project that declares endpoints."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    rows = pd.DataFrame({"age": np.linspace(18.0, 80.0, 120), "visits": np.arange(120) % 7 * 1.0})
    (tmp_path / "models").mkdir()
    for name in ("churn", "upsell"):
        truth = [old_services.score(name, row) for row in rows.to_dict("records")]
        joblib.dump(LinearRegression().fit(rows, truth), tmp_path / "models" / f"{name}.joblib")
    rows.assign(customer=[f"c{row}" for row in range(120)]).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "slipway.toml").write_text('[project]\nname = "shop"\n')
    (tmp_path / "project.py").write_text(PROJECT)
    yield tmp_path
    for name in ("churn", "upsell"):
        CliRunner().invoke(main, ["endpoints", "stop", name])
    sys.path[:] = path
    sys.modules.pop("project", None)


def typed(line: str, fails: int = 0) -> str:
    """What a command prints."""
    done = CliRunner().invoke(main, shlex.split(line, comments=True)[1:])
    assert done.exit_code == fails, (line, done.output, done.exception)
    return done.output


def status() -> dict[str, str]:
    return {one["old"]["name"]: one["state"] for one in json.loads(typed("slipway migrate status --json"))["models"]}


def asked_by_chosen(name: str, users: tuple[str, ...]) -> None:
    """Each of the users asks the endpoint, as the way says."""
    for user in users:
        found = json.loads(typed(f"slipway migrate way {name} {user} --json"))
        assert found["to"] == "here"
        with EndpointClient(found["url"], name) as client:
            client.predict([{"age": 30.0 + row, "visits": 1.0, "customer": user} for row in range(FIRST_ANSWERS)])
            client.settle()


def check_that_a_bad_old_system_is_only_said(url: str) -> None:
    """One that differs, refuses, or is not there is told row by row, and is no evidence."""
    ask = "slipway migrate compare churn --requests rows.csv --score result.value --json --url"
    apart = json.loads(typed(f"{ask} {url}/rounded", fails=3))
    assert (apart["scored"], apart["agreeing"], len(apart["mismatches"])) == (120, 103, 17)
    assert all(abs(one["theirs"] - one["ours"] - 0.5) < 1e-6 for one in apart["mismatches"])
    for closed, problem in ((f"{url}/closed", "error"), ("http://127.0.0.1:1/churn", "error")):
        found = json.loads(typed(f"{ask} {closed}", fails=3))
        assert (found["rows"], found["scored"], found["problems"]) == (64, 0, {problem: 64})
        assert (found["ours_failed"], found["ours_ms"] is None) == (0, False)
        assert "asked no more" in found["stopped"]
    assert "compared is missing" in typed("slipway migrate activate churn --users c1", fails=6)


@pytest.mark.full
def test_its_commands_move_a_pilot_and_the_wave_after_it(team: Path, url: str) -> None:
    lines = [
        line.replace(OLD, url)
        for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.S | re.M)
        for line in block.splitlines()
    ]
    (inventory,) = re.findall(r"^```csv\n(.*?)^```", PAGE, re.S | re.M)
    scanned = lines.pop(0)
    assert "2 models in models.csv" in typed(scanned)
    (team / "models.csv").write_text(inventory.replace(OLD, url))
    for line in lines:
        if " --all" in line:  # refused before the rest is there
            assert status() == {"churn": "Activation", "upsell": "waits", "fraud": "waits"}
        said = typed(line)
        if " plan models.csv" in line:
            assert "Pilot: churn, 87 of 100 points" in said
        if "deploy churn" in line:
            check_that_a_bad_old_system_is_only_said(url)
        if "activate churn --users" in line:
            assert "chosen users is missing" in typed("slipway migrate activate churn --all", fails=6)
            asked_by_chosen("churn", ("c1", "c2"))
            assert "way back is missing" in typed("slipway migrate activate churn --all", fails=6)
            assert json.loads(typed("slipway migrate way churn c9 --json"))["to"] == "old system"
    assert status() == {"churn": "moved", "upsell": "Development", "fraud": "waits"}
    assert "| pilots | under way |" in (team / "plan.md").read_text()
    assert "answers to c1, c2" in typed("slipway migrate status churn")

    assert "imported is missing" in typed("slipway migrate activate upsell --users c1", fails=6)
    for line in (
        "slipway import pickle models/upsell.joblib --trust --sample rows.csv --target customer",
        "slipway deploy upsell",
        f"slipway migrate compare upsell --requests rows.csv --url {url}/invocations --as mlflow",
        "slipway approve upsell",
        "slipway migrate activate upsell --users c1",
    ):
        typed(line)
    asked_by_chosen("upsell", ("c1",))
    typed('slipway migrate gap upsell "way back" --close "tried with churn"')
    typed("slipway migrate activate upsell --all")
    assert status() == {"churn": "moved", "upsell": "moved", "fraud": "Development"}
