"""What makes environments, against the port's suite."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from slipway import plugins
from slipway.backends.uv_environments import UvEnvironments
from slipway.conformance.environments import EnvironmentsSuite, kept, lock_of
from slipway.ports.environments import Environments
from slipway.records.locks import Lock

pytest.importorskip("uv")

MAKER = """
import sys
from pathlib import Path
import msgspec
from slipway.backends.uv_environments import UvEnvironments
from slipway.records.locks import Lock
folder, lock, blobs = map(Path, sys.argv[1:])
print("ready", flush=True)
UvEnvironments(folder).make(msgspec.json.decode(lock.read_bytes(), type=Lock), lambda name: (blobs / name).read_bytes())
"""


class TestUvEnvironments(EnvironmentsSuite):
    def open(self, folder: Path) -> Environments:
        opened: Environments = plugins.load("environments", "uv")(folder)
        return opened

    def make_and_die(self, folder: Path, lock: Lock, blobs: Path, after_s: float) -> None:
        written = blobs.with_suffix(".lock")
        written.write_bytes(lock.encoded)
        words = [sys.executable, "-c", MAKER, str(folder), str(written), str(blobs)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as maker:
            assert maker.stdout is not None
            assert maker.stdout.readline() == b"ready\n"
            time.sleep(after_s)
            maker.send_signal(signal.SIGKILL)


def others() -> list[str]:
    """Interpreters of this machine beside the present one, as "3.12.1"; those of pyenv, and the system's."""
    places = [*Path.home().glob(".pyenv/versions/*/bin/python3"), Path("/usr/bin/python3")]
    told = "import platform; print(platform.python_version())"
    found = {
        subprocess.run([path, "-c", told], capture_output=True, text=True, check=False).stdout.strip()
        for path in places
        if path.exists()
    }
    return sorted(found - {platform.python_version(), ""})


def reachable(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Let uv find an interpreter of pyenv, whose own way to them is a choice of each shell."""
    folder = Path.home() / ".pyenv" / "versions" / version / "bin"
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def one_wheel(python: str) -> tuple[Lock, dict[str, bytes]]:
    blobs: dict[str, bytes] = {}
    lock = lock_of(kept(blobs, "hull", "1.2", "import platform\nPYTHON = platform.python_version()\n"))
    return msgspec.structs.replace(lock, python=python), blobs


@pytest.mark.parametrize("is_minor", [True, False], ids=["another minor version", "another patch version"])
def test_another_python_of_this_machine_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_minor: bool
) -> None:
    own = platform.python_version().rpartition(".")[0]
    fitting = [one for one in others() if (one.rpartition(".")[0] != own) == is_minor and one.startswith("3.1")]
    if not fitting:
        pytest.skip("this machine has no second Python of that kind")
    reachable(monkeypatch, fitting[-1])
    lock, blobs = one_wheel(fitting[-1])
    said: list[str] = []
    made = UvEnvironments(tmp_path / "environments", said.append).make(lock, blobs.__getitem__)
    done = subprocess.run(
        [made.python, "-c", "import hull; print(hull.PYTHON)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == made.version == fitting[-1]
    assert not [line for line in said if "in its place" in line]


def test_a_patch_version_that_is_nowhere_is_replaced_and_said(tmp_path: Path) -> None:
    own = platform.python_version()
    lock, blobs = one_wheel(f"{own.rpartition('.')[0]}.99")
    said: list[str] = []
    made = UvEnvironments(tmp_path / "environments", said.append).make(lock, blobs.__getitem__)
    assert made.version == own
    assert f"Python {lock.python} is not on this machine: {own} is taken in its place." in said
