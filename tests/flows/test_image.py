"""A model as a container image: built twice, unpacked by other tools, run in its own root and asked."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from small_desk import FIRST, Desk

from oci_base import MINOR, python_base
from slipway.errors import InvalidInput
from slipway.flows.image import build_image
from slipway.hosts.image_server import ABOUT, main
from slipway.models import registry

SLIPWAY = Path(sys.executable).with_name("slipway")
ROWS = [
    {"flight_id": str(hour), "departure": f"2013-04-01T{hour:02}:00:00Z", "distance": 100 * hour} for hour in range(24)
]
HOW = "as root: apt-get install --no-install-recommends skopeo umoci"


def test_a_model_whose_features_are_looked_up_stays(desk: Desk, tmp_path: Path) -> None:
    version = desk.version(FIRST)
    bundle = registry.bundle_of(desk.workspace, version)
    with pytest.raises(InvalidInput, match="its features origin, weather_now are looked up"):
        build_image(desk.workspace, version, bundle, tmp_path / "out", platform="linux/amd64")
    assert not (tmp_path / "out").exists()


def test_a_server_without_its_files_or_with_no_port_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([str(tmp_path)]) == 1
    assert f"{ABOUT} cannot be read" in caplog.text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one version that needs nothing but its request, made as a person does."""
    folder = tmp_path_factory.mktemp("leaving") / "project"
    source = Path(__file__).parent / "leaving_project"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    for words in (("data", "ingest"), ("run", "release")):
        _slipway(folder, *words)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = tmp_path_factory.mktemp("base") / "layout"
    python_base(layout)
    return layout


@pytest.fixture(scope="module")
def image(project: Path, base: Path) -> Path:
    out = project.parent / "image"
    _slipway(project, "export", "image", "plain:1", "--out", str(out), "--base", str(base))
    return out


@pytest.mark.full
def test_the_same_model_gives_the_same_image_from_another_folder_by_another_mask(
    project: Path, base: Path, image: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(project, tmp_path / "elsewhere", symlinks=True)
    said = _slipway(
        moved, "export", "image", "plain", "--out", str(tmp_path / "x" / "image.tar"), "--base", str(base), "--json",
        umask=0o077,
    )  # fmt: skip
    (entry,) = json.loads((image / "index.json").read_bytes())["manifests"]
    assert json.loads(said)["digest"] == entry["digest"]
    events = json.loads(_slipway(moved, "audit", "list", "--json"))
    assert any(event["verb"] == "models.export" for event in events["events"])
    place = f"oci-archive:{tmp_path / 'x' / 'image.tar'}:1"
    for named in (f"oci:{image}:1", place):
        found = json.loads(_tool("skopeo", "inspect", named))
        assert found["Digest"] == entry["digest"]
        assert found["Labels"]["org.opencontainers.image.title"] == "plain"


@pytest.mark.full
def test_the_unpacked_image_answers_as_the_version_does(project: Path, image: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may change the root folder: run the tests in a container")
    _tool("umoci", "unpack", "--image", f"{image}:1", str(tmp_path / "unpacked"))
    process = json.loads((tmp_path / "unpacked" / "config.json").read_bytes())["process"]
    assert process["user"] == {"uid": 65532, "gid": 65532} | process["user"]
    names = [path for path in (tmp_path / "unpacked" / "rootfs").rglob("*") if path.name in ("direct_url.json", "uv")]
    assert names == []
    with _serving(tmp_path / "unpacked" / "rootfs", process) as url:
        answer = httpx.post(f"{url}/endpoints/plain/predict", json={"rows": ROWS}).json()
        assert answer["model"]["version"] == 1
        offline = _offline(project)
        assert [one["score"] for one in answer["predictions"]] == offline
        refused = httpx.post(f"{url}/endpoints/plain/predict", json={"rows": [{"flight_id": "1", "distance": 1}]})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "rows[0].departure")
        records = httpx.post(f"{url}/invocations", json={"dataframe_records": ROWS}).json()
        assert records["predictions"] == offline
        assert httpx.get(f"{url}/v2").json()["name"] == "slipway"
        assert httpx.get(f"{url}/v2/models/plain/ready").status_code == 200
        assert httpx.post(f"{url}/endpoints/plain/labels", json={"labels": []}).status_code == 404
        assert 'route="predict",status="200"} 2' in httpx.get(f"{url}/metrics").text


@pytest.mark.full
def test_an_altered_file_of_the_bundle_keeps_it_from_starting(image: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may change the root folder: run the tests in a container")
    _tool("umoci", "unpack", "--image", f"{image}:1", str(tmp_path / "unpacked"))
    root = tmp_path / "unpacked" / "rootfs"
    process = json.loads((tmp_path / "unpacked" / "config.json").read_bytes())["process"]
    (model,) = root.glob("slipway/bundles/*/model/model.txt")
    model.write_text(model.read_text().replace("num_leaves=7", "num_leaves=6", 1))
    done = subprocess.run(_command(root, process, 1), capture_output=True, text=True, timeout=900, check=False)
    assert (done.returncode, "is altered" in done.stderr) == (1, True), done.stderr


@pytest.mark.full
def test_without_a_base_it_says_that_it_holds_no_python_and_a_base_without_it_is_refused(
    project: Path, tmp_path: Path
) -> None:
    from slipway.models.oci_layout import write_image, write_layer

    layer = write_layer(tmp_path / "base", {"usr/bin/python2.7": b"#!"}, made_by="old")
    write_image(tmp_path / "base", [layer], platform="linux/amd64", config={}, tag="1", labels={})
    words = ("export", "image", "plain", "--out", str(tmp_path / "out"))
    refused = _run(project, *words, "--base", str(tmp_path / "base"))
    assert refused.returncode == 2
    assert f"has no python{MINOR}" in refused.stderr
    assert f"It has no Python: put it on an image that has python{MINOR}" in _slipway(project, *words)


def _offline(project: Path) -> list[float]:
    """The scores of the rows by the version's own bundle, loaded here."""
    script = (
        "import sys, json\nfrom pathlib import Path\nfrom slipway.hosts.project import open_project\n"
        "from slipway.flows.take_out import take_out\nfrom slipway.models import registry\n"
        "from slipway.models.bundle import load\n"
        "with open_project(Path('.')) as project:\n"
        "    w = project.workspace\n    take_out(w, registry.get(w, 'plain', 1), Path(sys.argv[1]))\n"
        "rows = [[hour, 100 * hour] for hour in range(24)]\n"
        "print(json.dumps(load(Path(sys.argv[1])).predict_rows(rows)))\n"
    )
    out = project.parent / "offline"
    done = subprocess.run(
        [sys.executable, "-c", script, str(out)], cwd=project, capture_output=True, text=True, check=True
    )
    scores: list[float] = json.loads(done.stdout.splitlines()[-1])
    return scores


@contextmanager
def _serving(root: Path, process: dict[str, Any]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (root.parent / "server.log").open("w") as log:
        server = subprocess.Popen(_command(root, process, port), stdout=log, stderr=log)
    try:
        until = time.monotonic() + 120
        while True:
            assert server.poll() is None, (root.parent / "server.log").read_text()
            assert time.monotonic() < until
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield url
        server.terminate()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def _command(root: Path, process: dict[str, Any], port: int) -> list[str]:
    """The image's own command, environment and user, in its own root, on a port of this machine's loopback address."""
    user = f"{process['user']['uid']}:{process['user']['gid']}"
    own = [*process["env"], "SLIPWAY_HOST=127.0.0.1", f"SLIPWAY_PORT={port}"]
    chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert chroot is not None
    return ["env", "-i", *own, chroot, f"--userspec={user}", str(root), *process["args"]]


def _tool(name: str, *words: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: {HOW}")
    done = subprocess.run([name, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(folder: Path, *words: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SLIPWAY), *words], cwd=folder, capture_output=True, text=True, umask=umask, check=False)


def _slipway(folder: Path, *words: str, umask: int = 0o022) -> str:
    done = _run(folder, *words, umask=umask)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
