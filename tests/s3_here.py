"""A server that speaks S3, in a process of its own: moto, from an environment of its own, or one that is named."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

NAMED = os.environ.get("SLIPWAY_TEST_S3", "")
SERVER = Path(__file__).parent.parent / ".venv" / "s3" / "bin" / "moto_server"


@contextmanager
def running() -> Iterator[str]:
    """Its address; the test is skipped where there is none."""
    if NAMED:
        yield NAMED
        return
    if not SERVER.exists():
        pytest.skip("needs a server that speaks S3: make test-all installs one, or name it: SLIPWAY_TEST_S3=http://...")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(SERVER), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        try:
            httpx.get(f"{url}/moto-api/")
        except httpx.HTTPError:
            assert process.poll() is None, "the server that speaks S3 ended"
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server that speaks S3 does not answer")
