"""Versions whose libraries conflict, each in the workers of an environment of its own, behind one address."""

import io
import json
import os
import signal
import sys
import threading
import time
import zipfile
from pathlib import Path

import endpoint_folder as ef
import httpx
import msgspec
import pytest

from slipway import code
from slipway.backends.process_launcher import ProcessLauncher
from slipway.code import imports
from slipway.conformance.environments import kept, wheel
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.ledger import locks
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Served
from slipway.records.locks import Lock
from slipway.records.schema import Field
from slipway.serving.interpreter import Base, installed
from slipway.serving.worker_state import state_file

PROJECT = """
from hull import strength
from slipway.features.scalars import feature

@feature
def load(a: float) -> float:
    return strength(a)
"""
HULLS = {"1.2": "def strength(a):\n    return a * 1\n", "2.0": "def strength(a):\n    return a * 2\n"}


def test_an_interpreter_says_what_it_lacks() -> None:
    here = installed()
    assert here.packages["slipway"]
    lock = Lock(python=here.python, platform="linux-x86_64")
    assert here.lacks(lock, besides="slipway") == ""
    old = Base(here.python, {"hull": "1.2"})
    (hull,) = (kept({}, "hull", "2.0", ""),)
    wanted = msgspec.structs.replace(lock, packages=(hull,))
    assert old.lacks(wanted, besides="slipway") == "hull 2.0, and here is 1.2"
    assert old.lacks(wanted, besides="hull") == ""
    assert "Python 2.7" in old.lacks(msgspec.structs.replace(lock, python="2.7.1"), besides="")


def environment(workspace: Workspace, hull: str) -> str:
    """An environment with Slipway, NumPy and one of two versions of a library that cannot both be imported."""
    blobs: dict[str, bytes] = {}
    package = kept(blobs, "hull", hull, HULLS[hull])
    for data in blobs.values():
        workspace.blobs.put(data)
    runtime = locks.present(workspace, imports.Own(()))
    needed = [one for one in runtime.packages if not one.name.startswith("polars")]
    lock = msgspec.structs.replace(runtime, packages=tuple(sorted([*needed, package], key=lambda one: one.name)))
    return isolation.made(workspace, lock).lock


def deploy(workspace: Workspace, folder: Path, number: int, environment: str, hull: str) -> None:
    """Publish a model whose feature calls the library, as it was trained with one of its versions."""
    with zipfile.ZipFile(io.BytesIO(wheel("hull", hull, HULLS[hull])[1])) as archive:
        archive.extractall(folder / hull)  # as it was installed where the model was trained
    project = folder / f"project-{hull}"
    project.mkdir(exist_ok=True)
    (project / "project_of_hull.py").write_text(PROJECT)
    sys.path[:0] = [str(folder / hull), str(project)]
    try:
        for name in ("hull", "project_of_hull"):
            sys.modules.pop(name, None)
        module = __import__("project_of_hull")
        spec = build_spec(
            FeatureSet(module.load), {"a": "float"}, FrameTables({}, {}), lambda function: function.__name__
        )
        sources = code.extract([module.load], project_roots=(project,))
    finally:
        del sys.path[:2]
        for name in ("hull", "project_of_hull"):
            sys.modules.pop(name, None)
    model = ef.a_model(list(spec.features))
    digest = ef.bring(workspace, model, spec=spec, sources=sources)
    fields = (Field("flight_id", "string", nullable=False), *spec.request)
    served = Served(model=ef.NAME, number=number, bundle=digest, environment=environment)
    ef.deploy(workspace, model, fields, number=number, spec=spec, sources=sources, served=served)


def ask(client: httpx.Client) -> float:
    answer = client.post("/endpoints/delays/predict", json={"rows": [{"flight_id": "x", "a": 1000.0}]})
    assert answer.status_code == 200, answer.text
    return round(float(answer.json()["predictions"][0]["score"]), 6)


def until(look, within_s: float = 60.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.mark.full
def test_two_versions_of_a_library_behind_one_address(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    old, new = environment(workspace, "1.2"), environment(workspace, "2.0")
    launcher, folder = ProcessLauncher(), ef.folder_of(workspace)
    deploy(workspace, tmp_path, 1, old, "1.2")
    scores: set[float] = set()
    failures: list[str] = []
    enough = threading.Event()

    def keep_asking(url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:  # it keeps its connection, and sends nothing twice
            while not enough.is_set():
                try:
                    scores.add(ask(client))
                except (httpx.HTTPError, AssertionError) as problem:
                    failures.append(repr(problem))

    try:
        url = launcher.ensure(folder).url
        threads = [threading.Thread(target=keep_asking, args=(url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: 1.0 in scores)
        deploy(workspace, tmp_path, 2, new, "2.0")
        until(lambda: launcher.status(folder).revision == 2)  # type: ignore[union-attr]
        with httpx.Client(base_url=url, timeout=60) as client:
            assert ask(client) == 2.0
            for pid in workers_in(folder, new):
                os.kill(pid, signal.SIGKILL)  # what it was answering is answered by its successor
            assert ask(client) == 2.0
            assert "slipway_front_requests_total" in client.get("/metrics").text
            deploy(workspace, tmp_path, 3, old, "1.2")
            until(lambda: launcher.status(folder).revision == 3)  # type: ignore[union-attr]
            assert ask(client) == 1.0
        enough.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert scores == {1.0, 2.0}
        assert not isolation.opened(workspace).drop(old)  # in use
    finally:
        enough.set()
        launcher.stop(folder)
    said = json.loads((folder / "interpreter.json").read_bytes())
    assert "hull" not in said["packages"]
    assert isolation.opened(workspace).drop(new)


def workers_in(folder: Path, environment: str) -> list[int]:
    found = [int(path.stem.rpartition("-")[2]) for path in state_file(folder, 0).parent.glob("*-*.json")]
    return [pid for pid in found if environment in Path(f"/proc/{pid}/cmdline").read_text()]
