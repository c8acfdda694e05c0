"""A Redis for tests: the one on this machine, under a prefix of the test's own, cleaned up afterwards."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

URL = os.environ.get("SLIPWAY_TEST_REDIS", "redis://127.0.0.1:6379/0")


def client():
    """A client of it; the test is skipped where none answers."""
    redis = pytest.importorskip("redis", reason="pip install 'slipway[redis]'")
    found = redis.Redis.from_url(URL, socket_connect_timeout=1)
    try:
        found.ping()
    except redis.exceptions.ConnectionError:
        pytest.skip(f"no Redis answers at {URL}; start one: redis-server --port 6379 --save ''")
    return found


@contextmanager
def cleaned(namespace: str) -> Iterator[str]:
    """A namespace without the keys of one who was killed, and whose keys are gone afterwards."""
    redis = client()

    def clean() -> None:
        for key in redis.scan_iter(match=f"{{{namespace}*", count=1000):
            redis.delete(key)

    clean()
    try:
        yield namespace
    finally:
        clean()
        redis.close()


class OwnRedis:
    """A Redis of a test's own, which may be killed and started again; skipped where none is installed.

    Args:
        folder: Where it keeps what it is told to keep.
        options: More of its settings.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed; for example: apt install redis-server")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it kept."""
        self._folder.mkdir(exist_ok=True)
        settings = ["--port", str(self.port), "--dir", str(self._folder), "--save", "", *self._options]
        self._process = subprocess.Popen(["redis-server", *settings], stdout=subprocess.DEVNULL)
        redis = pytest.importorskip("redis")
        until = time.monotonic() + 30
        with redis.Redis.from_url(self.url) as found:
            while True:
                try:
                    found.ping()
                    return
                except redis.exceptions.AuthenticationError:
                    return
                except redis.exceptions.ConnectionError:
                    assert time.monotonic() < until, "it does not start"
                    time.sleep(0.02)

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def own_redis(folder: Path, *options: str) -> Iterator[OwnRedis]:
    """A running Redis of a test's own."""
    found = OwnRedis(folder, *options)
    found.start()
    try:
        yield found
    finally:
        found.kill()
