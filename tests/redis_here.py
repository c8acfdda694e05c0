"""A Redis for tests: the one on this machine, under a prefix of the test's own, cleaned up afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
    """A namespace whose keys are gone afterwards."""
    redis = client()
    try:
        yield namespace
    finally:
        for key in redis.scan_iter(match=f"{{{namespace}*", count=1000):
            redis.delete(key)
        redis.close()
