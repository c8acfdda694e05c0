"""Faults of the service, injected into an endpoint that runs: each is done to it as it happens in production."""

import os
import resource
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

import slipway as sw
from benchmarks.fault_world import HOUR, LIVE, Minutes
from slipway.backends.clocks import FileClock
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import revision_of
from slipway.flows.release import declare_endpoint
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.operations.endpoints import Deploy

__all__ = ["IN_BUSINESS_TIME", "STRIKES"]

Strike = Callable[[Minutes], object]
_CONNECTIONS = 1000
_EVERY = 33


def _killed(store: Minutes) -> None:
    """Its files are damaged, so that it cannot start, and then it is killed."""
    status = store.workspace.launcher.status(store.folder)
    assert status is not None
    home = store.folder / "bundles" / revision_of(store.workspace, LIVE).served.bundle
    for file in (one for one in home.rglob("*") if one.is_file()):
        file.chmod(0o600)
        file.write_bytes(b"")
    os.kill(status.pid, signal.SIGKILL)
    store.until_told()


def _word(word: str, *, requests: int = 0, **values: float) -> Strike:
    """The model goes wrong in a way, and so many are asked between two looks."""

    def strike(store: Minutes) -> None:
        store.go_wrong(word)
        store.until_told(between=lambda: store.ask(requests, **values))

    return strike


def _saturated(store: Minutes) -> None:
    """As many connections as it takes hold a request each that never ends, and others ask meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    where = urlsplit(store.client.url)
    said = (f"Host: {where.netloc}", f"Authorization: Bearer {store.token}", "Content-Length: 100")
    head = "\r\n".join((f"POST /endpoints/{LIVE}/predict HTTP/1.1", *said, "", "")).encode()
    held = []
    try:
        for _ in range(_CONNECTIONS):
            held.append(socket.create_connection((where.hostname or "", where.port or 0)))
            held[-1].sendall(head)
        store.until_told(between=lambda: store.ask(20))
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _fallen_back(store: Minutes) -> None:
    """The model fails on every row, and a number stands in."""
    service = sw.Service(availability=0.999, probe=None, down_after="1s")
    fallback = sw.Fallback(0.4, within="500ms", alert_above=0.05)
    declare_endpoint(store.workspace, sw.Endpoint(LIVE, key="case", monitors=[service], fallback=fallback))
    deploy(store.workspace, Deploy(model=LIVE, version="1"))
    store.ask(30)
    store.look()
    store.go_wrong("breaks")
    store.until_told(between=lambda: store.ask(20, x1=0.9))


def _deployed(store: Minutes) -> None:
    """A version that raises on some rows takes the place of the one that serves."""
    deploy(store.workspace, Deploy(model=LIVE, version="2", at_once=True))
    store.go_wrong("in production")
    store.until_told(between=lambda: store.ask(5, x1=0.9))


def _mistaken(store: Minutes) -> None:
    """Rows that do not fit, no token, and a body that is none."""
    url = f"{store.client.url}/endpoints/{LIVE}/predict"
    for _ in range(50):
        assert store.ask(1, x2=1.0) == 0, "an unknown field is passed over"
        assert httpx.post(url, json={"rows": []}).status_code == 401
        head = {"authorization": f"Bearer {store.token}"}
        assert httpx.post(url, json={"rows": [{"case": "a", "x0": "far"}]}, headers=head).status_code == 422
        assert httpx.post(url, content=b"{", headers=head).status_code == 422
    for _ in range(3):
        store.look()


def _silent(store: Minutes) -> None:
    """Nobody asks, and the loop goes on looking."""
    store.until_told(6.0)


def _constant(store: Minutes) -> None:
    """Whoever asks gets the same; what training knew is answered as ever, so that no probe shows it. Business time."""
    clock = FileClock(store.workspace.root / CLOCK_FILE)
    store.go_wrong("constant")
    for _ in range(3):
        clock.advance_to(clock.now() + timedelta(minutes=5))
        store.ask(40, at=clock.now(), x1=0.9)
        with store.client as client:
            client.settle()
        store.look()


def _slow_leak(store: Minutes) -> None:
    """Three days of business time in which one request in 33 fails: twice to three times what the budget allows."""
    clock = FileClock(store.workspace.root / CLOCK_FILE)
    store.go_wrong("breaks")
    asked = 0
    for _ in range(72):
        at = clock.now() + HOUR
        clock.advance_to(at)
        good = [(asked + one) % _EVERY != 0 for one in range(15)]
        asked += len(good)
        store.ask(sum(good), at=at)
        store.ask(len(good) - sum(good), at=at, x1=0.9)
        store.look()


LEAK = "one request in 33 fails for three days"
IN_BUSINESS_TIME = (LEAK, "one answer to everybody")
STRIKES: dict[str, Strike] = {
    "killed, and its model's file is damaged": _killed,
    "the model hangs": _word("hangs"),
    "the model raises on some rows": _word("raises", requests=5, x1=0.9),
    "callers hold all the room there is": _saturated,
    "scores are no numbers": _word("nan", requests=5),
    "one answer to everybody": _constant,
    "the fallback answers everything": _fallen_back,
    LEAK: _slow_leak,
    "another answer than at packaging, while nobody asks": _word("other"),
    "a bad deployment": _deployed,
    "nobody asks": _silent,
    "callers make mistakes": _mistaken,
}
