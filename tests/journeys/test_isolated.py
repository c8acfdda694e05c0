"""`slipway run --isolated`, as a user: real uv, real environments, no network."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.conformance.environments import wheel

pytest.importorskip("uv")

MODULE = """
import slipway as sw
import markupsafe

@sw.step
def size(n: int) -> dict:
    return {"size": n * 2, "told": str(markupsafe.escape("<"))}

@sw.pipeline
def launch(n: int = 3) -> dict:
    import sys
    print("prefix", sys.prefix)
    return size(n)
"""
WITH_HULL = """
import slipway as sw

@sw.step
def strength(n: int) -> int:
    import hull
    return n * hull.STRENGTH

@sw.pipeline
def launch(n: int = 3) -> int:
    return strength(n)
"""
WITH_ROPE = """
import slipway as sw
import boat_rope

@sw.step
def knot(n: int) -> str:
    return sw.errors.near("rope", ["rope"], what="knots") + str(n * boat_rope.LENGTH)

@sw.pipeline
def launch(n: int = 3) -> str:
    return knot(n)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "project"
    home.mkdir()
    (home / "slipway.toml").write_text('[project]\nname = "boats"\nmodule = "boats"\n')
    (home / "boats.py").write_text(MODULE)
    return home


def slipway(folder: Path, *words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """A command as a user types it, offline, with an empty cache of uv: all must come from this machine."""
    there = {**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder.parent / "cache"), **more}
    done = subprocess.run(
        [sys.executable, "-m", "slipway", *words], cwd=folder, env=there, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def newest(folder: Path) -> Any:
    return json.loads(slipway(folder, "runs", "list", "--json").stdout)["runs"][0]["run"]


@pytest.mark.full
def test_it_runs_in_an_environment_of_its_own_with_equal_results(folder: Path) -> None:
    slipway(folder, "run", "launch")
    plain = newest(folder)
    done = slipway(folder, "run", "launch", "--isolated")
    assert "Building the environment" in done.stderr
    assert f"prefix {folder}/.slipway/environments/" in done.stdout
    assert "size: taken from run" in done.stderr
    isolated = newest(folder)
    assert isolated["id"] != plain["id"]
    assert isolated["environment"]["imports"] == plain["environment"]["imports"], (
        "the lock is the one that it was made of"
    )
    assert [one["fingerprint"] for one in isolated["artifacts"]] == [one["fingerprint"] for one in plain["artifacts"]]
    again = slipway(folder, "run", "launch", "--isolated", "--set", "n=4")
    assert "was there already" in again.stderr
    assert "Building" not in again.stderr
    assert json.loads(slipway(folder, "env", "clean", "--unused", "0d", "--json").stdout)["left"] == 0


@pytest.mark.full
def test_a_lock_file_is_what_is_installed(folder: Path) -> None:
    (folder / "boats.py").write_text(WITH_HULL)
    name, data = wheel("hull", "1.2", "STRENGTH = 7\n")
    stock = folder.parent / "stock"
    stock.mkdir()
    (stock / name).write_bytes(data)
    (folder / "requirements.lock").write_text("hull==1.2\n")
    done = slipway(folder, "run", "launch", "--isolated", UV_FIND_LINKS=str(stock))
    assert "The lock is requirements.lock" in done.stderr
    assert "strength" in done.stderr
    refused = slipway(folder, "run", "launch", code=4)
    assert "No module named 'hull'" in refused.stderr


@pytest.mark.full
def test_what_cannot_be_had_is_a_sentence(folder: Path) -> None:
    (folder / "requirements.lock").write_text("there-is-no-such-thing==9.9\n")
    refused = slipway(folder, "run", "launch", "--isolated", code=5)
    assert "cannot be made from what can be reached here" in refused.stderr
    assert "there-is-no-such-thing" in refused.stderr
    assert "UV_OFFLINE is set" in refused.stderr
    assert "Traceback" not in refused.stderr
    (folder / "requirements.lock").unlink()
    (folder / "pylock.toml").write_text("[")
    refused = slipway(folder, "run", "launch", "--isolated", code=2)
    assert "pylock.toml cannot be read" in refused.stderr
    assert not list(folder.glob(".slipway/environments/*/"))


def rope(folder: Path, length: int) -> dict[str, str]:
    """A library in editable form, as the present interpreter sees it."""
    site = folder.parent / "site"
    info = site / "boat_rope-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "boat_rope").mkdir(exist_ok=True)
    (site / "boat_rope" / "__init__.py").write_text(f"LENGTH = {length}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: boat-rope\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"boat_rope-1.0.dist-info/{name},,\n" for name in ("METADATA", "RECORD")))
    (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
    return {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.full
def test_what_is_installed_in_editable_form_is_the_same_library_there(folder: Path) -> None:
    """Slipway itself among it, in this checkout: equal content hits the cache on both sides, other content on neither."""
    (folder / "boats.py").write_text(WITH_ROPE)

    def ran(length: int, *options: str) -> str:
        said = slipway(folder, "run", "launch", *options, **rope(folder, length)).stderr
        return "taken" if "knot: taken from run" in said else "computed"

    assert [ran(7), ran(7, "--isolated"), ran(7, "--isolated"), ran(7)] == ["computed", "taken", "taken", "taken"]
    assert [ran(8, "--isolated"), ran(8), ran(8, "--isolated")] == ["computed", "taken", "taken"]
    assert [ran(7), ran(7, "--isolated")] == ["taken", "taken"]
    shown = json.loads(slipway(folder, "runs", "show", newest(folder)["id"], "--json", **rope(folder, 7)).stdout)
    assert next(one for one in shown["lock"]["packages"] if one["name"] == "boat-rope")["origin"] == "editable"


@pytest.mark.full
def test_a_version_of_a_lock_file_is_not_what_happens_to_be_edited_here(folder: Path) -> None:
    (folder / "boats.py").write_text(WITH_ROPE)
    (folder / "requirements.lock").write_text("boat-rope==1.0\n")
    refused = slipway(folder, "run", "launch", "--isolated", code=5, **rope(folder, 7))
    assert "cannot be made from what can be reached here" in refused.stderr
    assert "boat-rope" in refused.stderr


WITH_PYTHON = """
import platform
import slipway as sw

@sw.step
def told(n: int) -> str:
    return f"{n} of {platform.python_version()}"

@sw.pipeline
def launch(n: int = 3) -> str:
    return told(n)
"""
MADE_BY = """
import sys
from msgspec.structs import replace
from slipway.hosts.project import open_project
from slipway.ledger import locks
from slipway.pipelines import isolation
with open_project(".") as project:
    project.module()
    lock = replace(locks.present(project.workspace), python=sys.argv[1])
    print(isolation.made(project.workspace, lock).python)
"""


@pytest.mark.full
def test_a_run_of_another_python_is_reproduced_by_it_and_by_this_one_python_is_the_cause(folder: Path) -> None:
    asked = ["/usr/bin/python3", "-c", "import platform; print(platform.python_version())"]
    system = (
        Path(asked[0]).exists() and subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    )
    here = platform.python_version()
    if not system or system == here or system.rpartition(".")[0] != here.rpartition(".")[0]:
        pytest.skip("the system's Python is not another patch of this one's minor version")
    (folder / "boats.py").write_text(WITH_PYTHON)
    there = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder.parent / "cache"), "PATH": "/usr/bin:/bin"}

    def by(*words: str) -> str:
        return subprocess.run(words, cwd=folder, env=there, capture_output=True, text=True, check=True).stdout

    python = by(sys.executable, "-c", MADE_BY, system).strip()
    by(python, "-P", "-m", "slipway", "run", "launch")
    run = newest(folder)
    assert run["environment"]["python"] == system
    said = slipway(folder, "reproduce", run["id"]).stdout
    assert said.startswith("equal"), said
    refused = slipway(folder, "reproduce", run["id"], "--here", "--json", code=3)
    found = json.loads(refused.stdout)["reproduction"]
    assert (found["verdict"], found["step"], found["cause"]) == ("differs", "told", "python")
    assert f"Python {system} -> {here}" in found["sentence"]
