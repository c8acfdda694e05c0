"""Each template, from `slipway new` to a served endpoint, by the commands of its own README."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import slipway, stop_all

from slipway.cli.templates import TEMPLATES, project_template

pytest.importorskip("sklearn", reason="the templates' models need scikit-learn: pip install 'slipway[sklearn]'")
pytestmark = pytest.mark.full

OURS = [name for name in TEMPLATES if name != "from-notebook"]
MOST = 5
"""Commands until an endpoint has answered, `slipway new` among them."""


def commands_of(folder: Path) -> list[list[str]]:
    """The commands that a README shows, the comments left out."""
    shown = (folder / "README.md").read_text().partition("```\n")[2].partition("```")[0]
    return [shlex.split(line, comments=True) for line in shown.splitlines() if line.strip()]


@pytest.mark.parametrize("template", OURS)
def test_its_readme_leads_to_a_served_endpoint_and_to_checks_that_pass(template: str, tmp_path: Path) -> None:
    name = f"my-{template}"
    slipway("new", name, "--template", template, cwd=tmp_path)
    folder = tmp_path / name
    typed = 1
    try:
        for word, *arguments in commands_of(folder):
            if arguments[:1] in (["up"], ["ci"]):
                continue
            typed += 1
            if word == "python":
                subprocess.run([sys.executable, *arguments], cwd=folder, check=True)
                continue
            told = slipway(*arguments, "--json", cwd=folder)
            if arguments[0] == "predict":
                (one,) = json.loads(told)["predictions"]
                assert one["version"] == 1
                assert isinstance(one["score"], float)
                break
        assert typed <= MOST
        checked = json.loads(slipway("ci", "check", "--no-image", "--json", cwd=folder, OMP_NUM_THREADS="1"))
        assert not [one for one in checked["checks"] if one["state"] == "failed"]
        assert {one["suite"] for one in checked["checks"] if one["state"] == "passed"} >= {
            "unit",
            "model",
            "integration",
        }
    finally:
        stop_all(folder / ".slipway")


def test_a_forecast_finds_its_past(tmp_path: Path) -> None:
    with project_template("forecasting") as template:
        lines = template.files("p", "p")["data/sales.csv"].decode().splitlines()
    last = {line.split(",")[1] for line in lines[1:]}
    assert len(last) == 540
    assert len(lines) == 1 + 8 * 540
