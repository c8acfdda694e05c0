"""Workers that others relieve: real processes that do nothing, and what they would say of themselves."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint_desk import until

from slipway.serving.counters import MAX_WORKERS
from slipway.serving.footprint import resident_bytes
from slipway.serving.relief import Relief
from slipway.serving.worker_pool import Kind, Worker, WorkerPool
from slipway.serving.worker_state import WorkerState, state_file

OWN, OTHER = Kind("", is_fronted=False), Kind("b" * 64, is_fronted=True)


class Workers:
    """A pool, and the words of its workers."""

    def __init__(self, folder: Path) -> None:
        (folder / "workers").mkdir()
        self.folder = folder
        self.asked: list[str] = []
        self.pool = WorkerPool(folder, self._command)
        self.pool.listener = socket.create_server(("127.0.0.1", 0))

    def _command(self, index: int, listener: int, environment: str) -> list[str]:
        self.asked.append(environment)
        return ["sleep", "600"]

    def want(self, **changes: int) -> None:
        """Let the pool do what it does at each look."""
        kinds = {"own": OWN, "other": OTHER}
        self.pool.look()
        self.pool.want({kinds[name]: number for name, number in changes.items()})
        self.pool.start_due()

    def says(self, worker: Worker, *, ready: bool = True, trouble: str = "") -> None:
        WorkerState(ready=ready, revision=1, trouble=trouble, unknown={"mood": 1}).write(self.place(worker))

    def place(self, worker: Worker) -> Path:
        return state_file(self.folder, worker.index, worker.process.pid)

    def started(self, kind: Kind = OWN) -> list[Worker]:
        """All of a kind, which answer from now on."""
        found = self.pool.of(kind)
        for worker in found:
            self.says(worker)
        self.pool.look()
        return found

    def close(self) -> None:
        self.pool.kill()
        assert self.pool.listener
        self.pool.listener.close()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.close()


def test_another_one_is_ready_before_one_goes(workers: Workers) -> None:
    workers.want(own=1)
    (first,) = workers.started()
    assert workers.pool.relieve(first)
    workers.want(own=1)
    (second,) = workers.pool.staying(OWN)
    assert second is not first
    assert second.index != first.index, "both count, each in its own slot"
    assert workers.pool.answering(OWN, 1) == [first]
    workers.want(own=1)
    assert first in workers.pool.all(), "nobody else answers yet"
    workers.says(second)
    workers.want(own=1)
    assert workers.pool.all() == workers.pool.answering(OWN, 1) == [second]
    until(lambda: first.process.poll() == -signal.SIGTERM)
    assert workers.pool.ended() == [], "nobody misses it"
    assert workers.pool.unknown() == {"mood": 2}, "what it counted stays counted"


def test_it_is_relieved_by_one_of_its_own_environment(workers: Workers) -> None:
    workers.want(own=1, other=2)
    workers.started()
    first, _ = workers.started(OTHER)
    assert workers.pool.relieve(first)
    workers.want(own=1, other=2)
    assert len(workers.pool.of(OTHER)) == 3
    assert workers.asked == ["", *["b" * 64] * 3]


def test_fewer_workers_let_the_relieved_one_and_the_unready_one_go(workers: Workers) -> None:
    workers.want(own=2)
    first, second = workers.started()
    assert workers.pool.relieve(first)
    workers.want(own=2)
    assert len(workers.pool.all()) == 3
    workers.want(own=1)
    assert workers.pool.all() == [second]
    assert first.process.wait(20) == -signal.SIGTERM


def test_an_endpoint_that_goes_to_sleep_takes_its_relieved_worker_along(workers: Workers) -> None:
    workers.want(other=1)
    (first,) = workers.started(OTHER)
    assert workers.pool.relieve(first)
    workers.want(other=0)
    assert workers.pool.all() == []


def test_more_workers_do_not_count_the_relieved_one(workers: Workers) -> None:
    workers.want(own=1)
    (first,) = workers.started()
    assert workers.pool.relieve(first)
    workers.want(own=2)
    second, third = workers.pool.staying(OWN)
    workers.says(second)
    workers.want(own=2)
    assert first in workers.pool.all()
    workers.says(third)
    workers.want(own=2)
    assert workers.pool.all() == [second, third]


def test_a_relieved_worker_that_ends_by_itself_is_not_missed_twice(workers: Workers) -> None:
    workers.want(own=1)
    (first,) = workers.started()
    assert workers.pool.relieve(first)
    workers.want(own=1)
    first.process.kill()
    first.process.wait()
    assert workers.pool.ended() == []
    workers.want(own=1)
    assert len(workers.pool.all()) == 1


def test_where_no_slot_is_left_nobody_is_relieved(workers: Workers) -> None:
    workers.want(own=MAX_WORKERS - 1)
    first, second, *_ = workers.started()
    assert workers.pool.relieve(first)
    assert not workers.pool.relieve(second), "the last slot is for who relieves the first"
    workers.want(own=MAX_WORKERS - 1)
    assert len(workers.pool.all()) == MAX_WORKERS
    assert not workers.pool.relieve(second)


def test_trouble_relieves_and_says_why_once(workers: Workers) -> None:
    relief = Relief(workers.folder, workers.pool, silent_s=60)
    workers.want(own=1)
    (first,) = workers.started()
    assert relief.look({}) == []
    workers.says(first, trouble="It is lost.")
    workers.pool.look()
    assert relief.look({}) == ["It is lost."]
    assert relief.look({}) == []
    assert first.is_relieved


def test_one_that_was_small_and_is_too_large_is_relieved(workers: Workers) -> None:
    relief = Relief(workers.folder, workers.pool, silent_s=60)
    workers.want(own=2)
    first, second = workers.started()
    until(lambda: resident_bytes(second.process.pid) > 10_000)
    second.was_small = True
    assert relief.look({OTHER: 1}) == [], "another kind's limit"
    (why,) = relief.look({OWN: 1})  # the first was never below it: who came next would not be either
    assert "MB of memory" in why
    assert (first.is_relieved, second.is_relieved) == (False, True)
    assert relief.look({OWN: 0}) == [], "0 is no limit"


def test_one_without_a_sign_of_life_is_killed_and_missed(workers: Workers) -> None:
    relief = Relief(workers.folder, workers.pool, silent_s=0.05)
    workers.want(own=1)
    (first,) = workers.started()
    os.utime(workers.place(first), (0, 0))

    def is_killed() -> bool:
        relief.look({})
        return first.killed != ""

    until(is_killed)
    first.process.wait()
    (ended,) = workers.pool.ended()
    assert ended.code == -signal.SIGKILL
    assert "no sign of life" in ended.worker.killed
