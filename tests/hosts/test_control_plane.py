"""The process behind `slipway up`: where it listens, how it seals, how it stops and starts again."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from filled_store import fill
from hosts_up import up
from slipway.errors import InvalidInput
from slipway.hosts.control_plane import Sealer, listen
from slipway.ledger import events
from slipway.ports.workspace import Workspace


def test_answers_are_not_held_back() -> None:
    """Without TCP_NODELAY a small answer waits 40 ms for an acknowledgement."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"Port {port} of 127\.0\.0\.1 cannot be had.*--port 0"):
            listen("127.0.0.1", port)


def test_it_says_where_it_answers_and_stops_in_order(workspace: Workspace) -> None:
    fill(workspace)
    with up(workspace.root, "--json") as (url, process):
        assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ready"}
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stdout is not None
        assert process.stdout.read() == "Slipway has stopped.\n"
    assert events.verify(workspace.ledger, workspace.signer) == (6, 0), "what happened was sealed on the way out"


def test_ctrl_c_is_an_order_too(tmp_path: Path) -> None:
    with up(tmp_path / "store") as (_, process):
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_after_kill_9_the_next_start_works_on_the_same_folder(workspace: Workspace) -> None:
    fill(workspace)
    for _ in range(2):
        with up(workspace.root) as (url, process):
            assert httpx.get(f"{url}/api/v1/projects", trust_env=False).status_code == 200
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
    with up(workspace.root) as (url, _):
        assert "flight-delays" in httpx.get(url, trust_env=False).text


def test_two_servers_on_one_store_take_turns_in_sealing(workspace: Workspace) -> None:
    fill(workspace)
    first, second = Sealer(workspace), Sealer(workspace)
    assert first.seal()
    assert not first.seal(), "there is nothing new"
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "models.alias", "model:m1")
    assert not second.seal(), "the first one holds the lease"
    assert first.seal()
    assert events.verify(workspace.ledger, workspace.signer) == (7, 0)


def test_the_sealer_says_what_it_cannot_do_and_stops_in_order(workspace: Workspace, said: list[str]) -> None:
    fill(workspace)
    (workspace.root / "keys" / "signing.key").unlink()
    sealer = Sealer(workspace, every_s=0.01)
    workspace.ledger.close()
    (workspace.root / "ledger.db").write_bytes(b"not a ledger any more" * 500)
    sealer.start()
    sealer.stop()
    assert any("audit log" in line for line in said)


def test_an_idle_server_is_small_and_loads_no_frames(tmp_path: Path) -> None:
    with up(tmp_path / "store") as (url, process):
        httpx.get(f"{url}/health", trust_env=False)
        loaded = subprocess.run(["cat", f"/proc/{process.pid}/maps"], capture_output=True, text=True).stdout
        assert "polars" not in loaded
        assert "numpy" not in loaded
