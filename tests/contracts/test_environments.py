"""What makes environments, against the port's suite."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway import plugins
from slipway.conformance.environments import EnvironmentsSuite
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
