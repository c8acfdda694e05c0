"""A server that answers elsewhere: by TLS or behind a proxy, for its names, to known people."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from authority import Authority
from filled_store import fill
from hosts_up import up
from slipway.backends.clocks import SystemClock
from slipway.client.api import Client
from slipway.errors import InvalidInput, Unavailable
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.reach import Reach
from slipway.server.app import make_app
from slipway.serving.reach import checked
from slipway.serving.tls import Tls

ELSEWHERE = "0.0.0.0"
NAME = "slipway.example.org"
MLFLOW = Path(sys.prefix) / "mlflow3" / "bin" / "python"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Authority(folder)


def do(workspace: Workspace, name: str, /, **fields: Any) -> Any:
    wanted = operation(name)
    return call(workspace, wanted, convert(wanted, fields))


def known(workspace: Workspace) -> str:
    """Let the store know Ada; her token, which is good for the processes that live in the machine's time."""
    fill(workspace)
    workspace = replace(workspace, clock=SystemClock())
    do(workspace, "people.add", name="ada", roles=["admin"])
    return str(do(workspace, "tokens.add", name="ada").text)


def reach_of(authority: Authority, *names: str, **more: Any) -> Reach:
    certificate, key = authority.sign(*(names or ("localhost", "127.0.0.1")))
    return Reach(**{"host": ELSEWHERE, "certificate": str(certificate), "key": str(key), **more})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "without TLS.*read the tokens.*--behind-proxy"),
        ({"host": "192.168.1.5"}, "cannot listen on '192.168.1.5' without TLS"),
        ({"certificate": "c.pem"}, "one of them is missing"),
        ({"host": "127.0.0.1", "key": "k.pem"}, "one of them is missing"),
        ({"certificate": "no.pem", "key": "no.key"}, "No such file"),
        ({"proxies": ("10.0.0.7",)}, "under which name its proxy is asked"),
        ({"proxies": ("proxy",), "names": (NAME,)}, "'proxy' is no address of a proxy"),
        ({"proxies": ("0.0.0.0/0",), "names": (NAME,)}, "every address there is"),
        ({"proxies": ("10.0.0.7",), "names": ("https://x.org",)}, "is no host name"),
        ({"proxies": ("10.0.0.7",), "names": ("x.org:8300",)}, "is no host name"),
    ],
)
def test_elsewhere_nothing_answers_without_tls_and_a_name(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        checked(Reach(**{"host": ELSEWHERE, **given}), "The server")


def test_a_certificate_that_cannot_be_used_is_said(authority: Authority) -> None:
    certificate, key = authority.sign("localhost")
    _, other = authority.sign("localhost", file="other")
    locked = authority.sign("localhost", file="locked", password="secret")
    ended = authority.sign("localhost", file="ended", begins=timedelta(days=-3), days=-1)
    later = authority.sign("localhost", file="later", begins=timedelta(days=1))
    nameless, wild = authority.sign(file="nameless"), authority.sign("*.example.org", file="wild")
    for files, names, words in (
        ((certificate, other), (), "is another one's"),
        ((key, certificate), (), "no certificate in PEM"),
        ((certificate, certificate), (), "no private key in PEM"),
        (locked, (), "it is encrypted.*openssl pkey"),
        (ended, (), "it ended on"),
        (later, (), "it begins on"),
        (nameless, (), "says no whole name"),
        (wild, (), r"says no whole name.*\*\.example\.org"),
        (wild, ("a.b.example.org",), "is not for 'a.b.example.org'"),
        ((certificate, key), (NAME,), f"is not for '{NAME}'.*Clients would refuse"),
    ):
        with pytest.raises(InvalidInput, match=words):
            checked(Reach(host=ELSEWHERE, certificate=str(files[0]), key=str(files[1]), names=names), "The server")
    reach = Reach(host=ELSEWHERE, certificate=str(wild[0]), key=str(wild[1]), names=(NAME.upper(),))
    assert checked(reach, "The server").names == (NAME,)


def ask(workspace: Workspace, reach: Reach, client: str, **options: Any) -> httpx.Response:
    app = make_app(replace(workspace, project=""), reach)
    method, url = options.pop("method", "GET"), options.pop("url", f"http://{NAME}/health")

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 4321))
        async with httpx.AsyncClient(transport=transport) as sender:
            return await sender.request(method, url, **options)

    return asyncio.run(once())


FORWARDED = {"x-forwarded-proto": "https", "x-forwarded-host": NAME}


def test_what_was_forwarded_is_believed_of_the_named_proxy_alone(workspace: Workspace) -> None:
    reach = checked(Reach(host=ELSEWHERE, names=(NAME,), proxies=("10.0.0.0/24", "fd00::7")), "The server")
    for client in ("10.0.0.7", "::ffff:10.0.0.7", "fd00::7"):
        answer = ask(workspace, reach, client, url="http://inside:8300/health", headers=FORWARDED)
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    for client, headers, words in (
        ("10.0.1.7", FORWARDED, "answers to its proxy only"),
        ("10.0.0.7", {}, "answers to its proxy only"),
        ("10.0.0.7", {**FORWARDED, "x-forwarded-proto": "http"}, "by plain HTTP"),
        ("10.0.0.7", {**FORWARDED, "x-forwarded-proto": "https, http"}, "by plain HTTP"),
        ("10.0.0.7", {**FORWARDED, "x-forwarded-host": "evil.example"}, "for the host 'evil.example'"),
        ("10.0.0.7", {"x-forwarded-host": NAME}, "by plain HTTP"),
        ("127.0.0.1", FORWARDED, f"for the host '{NAME}'"),
        ("127.0.0.1", {}, f"for the host '{NAME}'"),
    ):
        answer = ask(workspace, reach, client, headers=headers)
        assert answer.status_code == 403, (client, headers)
        assert words in answer.json()["error"]["what"]
    assert ask(workspace, reach, "127.0.0.1", url="http://localhost:8300/health").status_code == 200, "a health check"


def test_a_page_of_elsewhere_changes_nothing_through_a_proxy(workspace: Workspace) -> None:
    token = known(workspace)
    reach = checked(Reach(host="127.0.0.1", names=(NAME,), proxies=("127.0.0.1",)), "The server")
    headers = {**FORWARDED, "authorization": f"Bearer {token}"}
    post: Callable[[str], httpx.Response] = lambda origin: ask(  # noqa: E731
        workspace,
        reach,
        "127.0.0.1",
        method="POST",
        url="http://inside/api/v1/tokens/add",
        headers={**headers, "origin": origin},
        json={},
    )
    for origin in (f"http://{NAME}", "https://evil.example", "https://inside", "null"):
        assert "may not come from a page" in post(origin).json()["error"]["what"]
    assert post(f"https://{NAME}").status_code == 200


def test_a_cookie_of_https_is_sent_by_https_alone(workspace: Workspace) -> None:
    token = known(workspace)
    proxied = checked(Reach(host="127.0.0.1", names=(NAME,), proxies=("127.0.0.1",)), "The server")
    for reach, headers, url, is_secure in (
        (proxied, FORWARDED, "http://inside/login", True),
        (Reach(), {}, "http://127.0.0.1:8300/login", False),
    ):
        answer = ask(workspace, reach, "127.0.0.1", method="POST", url=url, headers=headers, data={"token": token})
        assert answer.status_code == 303
        assert ("; Secure" in answer.headers["set-cookie"]) == is_secure
        assert ("strict-transport-security" in answer.headers) == is_secure


def test_a_store_that_knows_nobody_is_not_served_elsewhere(workspace: Workspace, authority: Authority) -> None:
    fill(workspace)
    reach = reach_of(authority)
    command = [sys.executable, "-m", "slipway", "up", "--root", str(workspace.root), "--port", "0", "--host", ELSEWHERE]
    for options, words in (
        ([], "without TLS"),
        (["--tls-certificate", reach.certificate, "--tls-key", reach.key], "this store knows nobody"),
        (["--behind-proxy", "127.0.0.1", "--name", NAME], "this store knows nobody"),
        (["--host", "127.0.0.1", "--behind-proxy", "127.0.0.1", "--name", NAME], "this store knows nobody"),
    ):
        ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=900)
        assert ended.returncode != 0
        assert words in ended.stderr, ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_real_server_speaks_tls_and_renews_its_certificate(
    workspace: Workspace, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, reach = known(workspace), reach_of(authority)
    files = ["--tls-certificate", reach.certificate, "--tls-key", reach.key]
    with up(workspace.root, "--host", ELSEWHERE, *files) as (url, process):
        assert url.startswith("https://localhost:")
        port = int(url.rpartition(":")[2])
        trust = ssl.create_default_context(cafile=str(authority.file))
        bearer = {"authorization": f"Bearer {token}"}
        with httpx.Client(verify=trust, trust_env=False) as client:
            assert client.get(f"{url}/health").headers["strict-transport-security"]
            assert client.get(f"{url}/api/v1/projects").status_code == 401
            assert client.get(f"{url}/api/v1/projects", headers=bearer).status_code == 200
            refused = client.get(f"{url}/health", headers={"host": "evil.example"})
            assert refused.status_code == 403
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/health", trust_env=False)
        with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
            httpx.get(f"{url}/health", trust_env=False)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with Client(url, "flights", token) as client, pytest.raises(Unavailable, match="SSL_CERT_FILE"):
            client.call("projects.list")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with Client(url, "flights", token) as client:
            assert client.call("projects.list").projects
        before = shown(port)
        Path(reach.key).write_text("half a file")
        time.sleep(2.5)
        assert shown(port) == before, "what cannot be used leaves the former one"
        authority.sign("localhost", "127.0.0.1")
        wait_until(lambda: shown(port) != before)
        with Client(url, "flights", token) as client:
            assert client.call("projects.list").projects
        process.terminate()
        process.wait()
        assert process.stdout is not None
        assert "The renewed certificate is not used, the former one is" in process.stdout.read()


def test_old_tls_is_not_spoken(workspace: Workspace, authority: Authority) -> None:
    context = Tls(reach_of(authority), print).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def shown(port: int) -> int:
    """The serial number of the certificate that a port shows."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain, server_hostname="localhost") as speaking:
            found = speaking.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found).serial_number


def wait_until(holds: Callable[[], bool], within_s: float = 180.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.full
def test_clients_of_mlflow_reach_it_by_their_own_variables(workspace: Workspace, authority: Authority) -> None:
    if not MLFLOW.exists():
        pytest.skip("mlflow3 is not installed: make .venv/stamps/mlflow3")
    token, reach = known(workspace), reach_of(authority)
    script = "import mlflow; print(len(mlflow.search_experiments()))"
    with up(workspace.root, "--host", ELSEWHERE, "--tls-certificate", reach.certificate, "--tls-key", reach.key) as (
        url,
        _,
    ):
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": url,
            "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority.file),
        }
        ended = subprocess.run(
            [str(MLFLOW), "-c", script], env=environment, capture_output=True, text=True, timeout=900
        )
        assert ended.returncode == 0, ended.stderr
        assert int(ended.stdout) >= 1
