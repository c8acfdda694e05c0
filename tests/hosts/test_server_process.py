"""A control plane as a process that is started, killed, started again and stopped."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slipway.errors import BackendError
from slipway.hosts.server_process import ServerProcess, stop_former

pytestmark = pytest.mark.full


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path)
    yield made
    made.stop()


def is_well(url: str) -> bool:
    return httpx.get(f"{url}/health").status_code == 200


def test_killed_and_started_again_it_answers_where_it_was(server: ServerProcess) -> None:
    assert not server.is_up
    server.start()
    url = server.url
    assert server.is_up
    assert is_well(url)
    server.kill()
    assert not server.is_up
    with pytest.raises(httpx.TransportError):
        is_well(url)
    server.start()
    assert server.url == url
    assert is_well(url)


def test_where_a_port_is_taken_the_next_is_tried(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ServerProcess(tmp_path, ports=(port, 0))
        server.start()
        try:
            assert not server.url.endswith(f":{port}")
            assert is_well(server.url)
        finally:
            server.stop()
        with pytest.raises(BackendError, match=rf"did not start\..*Port {port} .*Read "):
            ServerProcess(tmp_path, ports=(port,)).start()


def test_what_an_earlier_process_left_running_is_stopped(tmp_path: Path) -> None:
    said = "import sys; from pathlib import Path; from slipway.hosts.server_process import ServerProcess\n"
    said += "server = ServerProcess(Path(sys.argv[1])); server.start(); print(server.url)"
    run = subprocess.run([sys.executable, "-c", said, str(tmp_path)], check=True, capture_output=True, text=True)
    url = run.stdout.strip()
    assert is_well(url)
    stop_former(tmp_path)
    with pytest.raises(httpx.TransportError):
        is_well(url)
    stop_former(tmp_path)


def test_one_whose_starter_was_killed_before_it_wrote_down_which_it_is_is_stopped_too(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    (tmp_path / "server.pid").unlink()
    stop_former(tmp_path / "other")
    assert is_well(server.url)
    stop_former(tmp_path)
    with pytest.raises(httpx.TransportError):
        is_well(server.url)
    server.stop()  # the child is gone, and is taken note of


def test_a_process_id_that_is_somebody_elses_now_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (tmp_path / "server.pid").write_text(str(other.pid))
        stop_former(tmp_path)
        assert other.poll() is None
        assert not (tmp_path / "server.pid").exists()
    finally:
        os.kill(other.pid, signal.SIGTERM)
        other.communicate()
