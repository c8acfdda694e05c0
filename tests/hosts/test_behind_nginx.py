"""The proxy's file of `deploy/`, read by nginx itself, before two real servers on one PostgreSQL."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

import postgres_here
from authority import Authority
from slipway.cli import main

pytestmark = pytest.mark.full

GIVEN = Path(__file__).parents[2] / "deploy" / "nginx.conf"
TOML = '[project]\nname = "flights"\n[environments.dev]\nledger = "env:SLIPWAY_TEST_LEDGER"\n'
LARGE, PATIENCE_S = 30_000_000, 180.0
TRIES = 40


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        pytest.skip("needs nginx: apt-get install nginx-light")
    (tmp_path / "slipway.toml").write_text(TOML)
    with postgres_here.cleaned() as url:
        monkeypatch.setenv("SLIPWAY_TEST_LEDGER", url)
        yield tmp_path


def slipway(home: Path, *words: str) -> str:
    done = CliRunner().invoke(main, [*words, "-C", str(home)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def until(look: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(home: Path, name: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A server that believes the proxy, at a free port."""
    log = home / f"{name}.log"
    command = [sys.executable, "-P", "-m", "slipway", "up", "--port", "0"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, "--behind-proxy", "127.0.0.1", "--name", "localhost"], cwd=home, stdout=said, stderr=said
        )
        try:
            until(lambda: "http" in log.read_text() or process.poll() is not None)
            found = re.search(r"https?://[^\s:]+:(\d+)", log.read_text())
            assert found, log.read_text()
            yield int(found[1]), process
        finally:
            process.terminate()
            process.wait()


@contextmanager
def nginx(home: Path, ports: list[int]) -> Iterator[str]:
    """The proxy by the file as it is, but for its addresses and folders; gives its address."""
    certificate, key = Authority(home).sign("localhost", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = GIVEN.read_text()
    folders = [f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    for old, new in (
        ("one:8300", f"127.0.0.1:{ports[0]}"), ("two:8300", f"127.0.0.1:{ports[1]}"), ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/tls/tls.crt", str(certificate)), ("/tls/tls.key", str(key)),
        ("http {", "\n".join(["http {", f"access_log {home}/access.log;", *folders])),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (home / "nginx.conf").write_text(text)
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    alone = f"daemon off; pid {home}/nginx.pid; error_log {home}/nginx.log;"
    alone += " user root;" if os.getuid() == 0 else ""  # whom the test's folder lets in
    command = [binary, "-p", str(home), "-c", str(home / "nginx.conf"), "-g", alone]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)
    try:
        until(lambda: answers(port))
        yield f"https://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def asked_of(port: int, token: str) -> float:
    """How many requests of `/health` a server has answered, by its own figures; asked as the proxy asks."""
    headers = {"host": "localhost", "x-forwarded-proto": "https", "authorization": f"Bearer {token}"}
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=headers, trust_env=False).raise_for_status().text
    lines = re.findall(r'^slipway_http_requests_total\{[^}]*route="/health"[^}]*\} (\S+)', text, re.MULTILINE)
    return sum(map(float, lines))


def test_a_server_that_is_killed_behind_nginx_is_missed_by_nobody(home: Path) -> None:
    slipway(home, "people", "add", "ada", "--role", "admin")
    token = str(json.loads(slipway(home, "tokens", "add", "--for", "ada", "--json"))["text"])
    bearer = {"authorization": f"Bearer {token}"}
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(home, name)) for name in ("one", "two")]
        url = stack.enter_context(nginx(home, [port for port, _ in servers]))
        trust = ssl.create_default_context(cafile=str(home / "ca.pem"))
        client = stack.enter_context(httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=120))
        projects = "/api/v1/projects"
        assert client.get(projects).status_code == 401
        assert client.get(projects, headers={**bearer, "host": "evil.example"}).status_code == 403
        client.headers.update(bearer)
        assert client.get(projects).status_code == 200

        mlflow = "/api/2.0/mlflow/runs"
        id = client.post(f"{mlflow}/create", json={"experiment_id": "0", "start_time": 1}).json()["run"]["info"][
            "run_id"
        ]
        place = f"/api/2.0/mlflow-artifacts/artifacts/0/{id}/artifacts/large.bin"
        content = os.urandom(LARGE)
        assert client.put(place, content=content).status_code == 200
        assert client.get(place).content == content

        page = f"/projects/flights/runs/{id}"
        with client.stream("GET", page, headers={"accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            point = {"run_id": id, "key": "told_there", "value": 1, "timestamp": 1, "step": 0}
            client.post(f"{mlflow}/log-metric", json=point)
            assert any("told_there" in line for line in lines), "the proxy held the stream back"

        before = [asked_of(port, token) for port, _ in servers]
        for _ in range(3):
            assert client.get("/health").status_code == 200
        grown = [asked_of(port, token) - had for (port, _), had in zip(servers, before, strict=True)]
        assert sorted(grown) == [0, 3], "a client stays with one of them"
        chosen = servers[grown.index(3)][1]
        for number in range(TRIES):
            if number == TRIES // 4:
                chosen.send_signal(signal.SIGKILL)
            answer = client.get(f"/api/v1/projects/flights/runs/get?id={id}")
            assert answer.status_code == 200, answer.text
        assert chosen.wait() == -signal.SIGKILL
