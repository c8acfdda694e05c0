import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint_desk import Endpoint, alive, until
from serving_desk import Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    opened = Desk()
    yield opened
    opened.close()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    folder = tmp_path / "endpoints" / "flights" / "delays"
    folder.mkdir(parents=True)
    made = Endpoint(folder)
    made.publish(1)
    yield made
    if made.process and made.process.poll() is None:
        made.end(signal.SIGKILL)
    until(lambda: not any(map(alive, made.pids)))
