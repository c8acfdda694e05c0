"""Callers of the small project's endpoint who ask on and on: each over one connection, and none sends anything twice."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from small_desk import NAME

ROWS = 2


class Steady:
    """What was answered, and what was not.

    Args:
        url: Where the endpoint answers.
        callers: How many ask.
    """

    def __init__(self, url: str, callers: int) -> None:
        self.host = url.removeprefix("http://")
        self.failures: list[str] = []
        self.answers: list[dict[str, Any]] = []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(one,)) for one in range(callers)]

    def _ask(self, caller: int) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=180)
        number = 0
        while not self.enough.wait(0.01):
            number += 1
            rows = [
                {
                    "flight_id": f"C{caller}-{number}-{place}",
                    "origin": "JFK",
                    "distance": 500 + number % 900,
                    "departure": "2013-04-01T09:00:00Z",
                }
                for place in range(ROWS)
            ]
            try:
                connection.request("POST", f"/endpoints/{NAME}/predict", json.dumps({"rows": rows}))
                answer = connection.getresponse()
                said = json.loads(answer.read())
                if answer.status != 200:
                    raise OSError(str(said))
                self.answers.append(said)
            except (OSError, http.client.HTTPException) as problem:
                self.failures.append(repr(problem))
                connection.close()
        connection.close()

    def until_more(self, n: int = 40, within_s: float = 180.0) -> None:
        """Wait until so many more requests are answered."""
        had, end = len(self.answers), time.monotonic() + within_s
        while len(self.answers) < had + n:
            assert time.monotonic() < end, f"{len(self.answers) - had} of {n} answered; {self.failures[-3:]}"
            time.sleep(0.02)


@contextmanager
def steady(url: str, callers: int = 3) -> Iterator[Steady]:
    """Callers that ask until the block ends."""
    load = Steady(url, callers)
    for thread in load.threads:
        thread.start()
    try:
        yield load
    finally:
        load.enough.set()
        for thread in load.threads:
            thread.join()
