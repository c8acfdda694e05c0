"""The first ten minutes, file and commands as their page has them: monitored, trained again and in a canary, for three kinds of model."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from command_line import answer, stop_all

for module in ("sklearn", "pandas"):
    pytest.importorskip(module, reason=f"the first minutes' models need {module}: pip install 'slipway[sklearn]'")
pytestmark = pytest.mark.full

PAGE = (Path(__file__).parents[2] / "docs" / "first-ten-minutes.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.S))
COMMANDS = [
    line.removeprefix("$ ") for block in re.findall(r"```console\n(.*?)```", PAGE, re.S) for line in block.splitlines()
]
MOVED = {"tumours": "mean radius", "progress": "bmi", "sales": "yesterday"}
ROWS = {"tumours": 569, "progress": 442, "sales": 693}
LABELS = 260
REQUESTS = 12_000
SEEN = 100
PATIENCE_S = 150.0


@dataclass(frozen=True)
class Lived:
    """What an endpoint came to.

    Args:
        watched: What its monitors found of what the newest version answered.
        story: What the loop did, from the command line.
        served: How many answers each version gave.
        looks: What was found of the canary, look by look.
        shown: The endpoint at the end.
        tables: The project's tables.
    """

    watched: dict[str, Any]
    story: dict[str, Any]
    served: dict[int, int]
    looks: list[dict[str, Any]]
    shown: dict[str, Any]
    tables: dict[str, Any]


def requests_of(file: Path) -> tuple[list[dict[str, Any]], list[float], str]:
    """What callers of the page's model send, the truth of each, and the key's name.

    One input moves after those whose truth is told: what is learnt again is the same world. No two are equal: a case that
    asks again keeps its model, and is one case.
    """
    spec = spec_from_file_location(f"page_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    endpoint = getattr(found, file.stem)
    rows = found.rows().sample(REQUESTS, replace=True, random_state=3).reset_index(drop=True)
    label = "units" if file.stem == "sales" else "target"
    key = endpoint.key_fields[0] if endpoint.key_fields else ""
    x = rows.drop(columns=label)
    moved = x[MOVED[file.stem]]
    by = np.where(np.arange(REQUESTS) < LABELS, 0.0, 2 * moved.std())
    x[MOVED[file.stem]] = moved + by + np.random.default_rng(5).normal(0, 1e-6, REQUESTS)
    if key:
        x[key] = [f"new {number}" for number in range(REQUESTS)]
    return json.loads(x.to_json(orient="records")), [float(value) for value in rows[label]], key


def live(name: str, folder: Path) -> Lived:
    file = folder / f"{name}.py"
    file.write_text(FILES[name])
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for line in COMMANDS[:3]:
        typed(line.replace("tumours", name), folder, path)
    url = answer("endpoints", "show", name, cwd=folder)["status"]["url"]
    rows, truth, key = requests_of(file)
    with httpx.Client(base_url=f"{url}/endpoints/{name}", timeout=30) as caller:
        ids = [ask(caller, row)["id"] for row in rows[:LABELS]]
        told = [
            {"value": value} | ({"key": {key: row[key]}} if key else {"prediction": id})
            for row, value, id in zip(rows, truth, ids, strict=False)
        ]
        assert caller.post("/labels", json={"labels": told}).json() == {"accepted": LABELS}
        assert COMMANDS[3] == "slipway up &"
        with (folder / "up.log").open("w") as log:
            up = subprocess.Popen(
                [sys.executable, "-P", "-m", "slipway", "up", "--port", "0"],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | path,
            )
        try:
            served = until_canary(caller, name, folder, iter(rows[LABELS:]))
            watched = answer("endpoints", "watch", name, cwd=folder)
            story = json.loads(typed(COMMANDS[4].replace("tumours", name) + " --json", folder, path))
            shown, tables = answer("endpoints", "show", name, cwd=folder), answer("data", "list", cwd=folder)
            return Lived(watched, story, served, looks(name, folder), shown, tables)
        finally:
            up.terminate()
            up.wait()


def typed(line: str, folder: Path, path: dict[str, str]) -> str:
    done = subprocess.run(line, shell=True, cwd=folder, env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, line
    return done.stdout


def ask(caller: httpx.Client, row: dict[str, Any]) -> dict[str, Any]:
    found = caller.post("/predict", json={"rows": [row]})
    assert found.status_code == 200, found.text
    (one,) = found.json()["predictions"]
    given: dict[str, Any] = one
    return given


def until_canary(caller: httpx.Client, name: str, folder: Path, rows: Iterator[dict[str, Any]]) -> dict[int, int]:
    """Go on asking, as callers do, until a challenger answers beside the champion and what it did was looked at.

    How far the canary comes is not for a test to say: one of its guardrails is time.
    """
    served: dict[int, int] = {}
    until = time.monotonic() + PATIENCE_S
    while not (served.get(2, 0) >= SEEN and looks(name, folder)):
        log = (folder / "up.log").read_text()
        assert "refuse" not in log, log
        assert time.monotonic() < until, (served, log)
        for row in islice(rows, 20 if "canary" not in log else 500):
            version = ask(caller, row)["version"]
            served[version] = served.get(version, 0) + 1
        time.sleep(0.1)
    return served


def looks(name: str, folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer("rollout", "status", name, cwd=folder)["rollout"]["looks"]
    return found


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Lived]]]:
    folders = {name: tmp_path_factory.mktemp(name) for name in FILES}
    try:
        with ThreadPoolExecutor(len(folders)) as beside:
            found = {name: beside.submit(live, name, folder) for name, folder in folders.items()}
            yield found
    finally:
        for folder in folders.values():
            stop_all(folder / ".slipway")


def test_the_page_has_three_kinds_in_five_commands_and_fifteen_lines() -> None:
    assert list(FILES) == ["tumours", "progress", "sales"]
    assert len(COMMANDS) <= 5
    for name, text in FILES.items():
        assert len([line for line in text.splitlines() if line.strip()]) <= 15, name


@pytest.mark.parametrize("name", FILES)
def test_the_endpoint_is_watched_trained_again_and_rolled_out(lived: dict[str, Future[Lived]], name: str) -> None:
    found = lived[name].result()
    (drift,) = [one for one in found.watched["findings"] if one["name"] == "drift"]
    assert drift["state"] == "note", drift
    assert MOVED[name] in drift["sentence"]
    assert min(found.served) == 1, "the first version answered"
    assert found.served[2] >= SEEN, "and beside it the second"
    assert "the challenger failed on 0 of" in found.looks[0]["sentence"], found.looks
    assert not [look for look in found.looks if look["verdict"] == "worse"]
    (story,) = found.story["stories"]
    assert [one["what"] for one in story["lines"]][:2] == ["retrain", "canary"], story
    assert "200 new labels" in story["lines"][0]["sentence"]
    (taught,) = [one for one in found.tables["tables"] if one["name"] == f"{name}_rows"]
    assert taught["rows"] == ROWS[name] + LABELS, "what was answered and labelled teaches too"
