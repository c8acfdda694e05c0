"""An endpoint of a store that knows people: its own process, by TLS, by token, without the ledger."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import endpoint_folder as ef
import httpx
import pytest

from authority import Authority
from slipway.backends.clocks import SystemClock
from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.errors import BackendError, Denied, InvalidInput, Unauthenticated
from slipway.governance.callers import tell_endpoint, tell_endpoints
from slipway.governance.tokens import identified
from slipway.hosts.endpoint_reach import let_endpoints_answer
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, in_project
from slipway.records.callers import CALLERS_FILE
from slipway.records.predictions import PredictionRow
from slipway.records.reach import Reach
from slipway.serving.callers import read_seen
from slipway.tables.segments import read_segments

ROW = {"flight_id": "UA1", "a": 30.0, "b": 40.0}
Do = Callable[..., Any]


@pytest.fixture
def store(workspace: Workspace) -> Workspace:
    """The endpoint's process lives in the machine's time, and so does who knows tokens."""
    return replace(workspace, clock=SystemClock())


@pytest.fixture
def do(store: Workspace) -> Do:
    def do(name: str, /, **fields: Any) -> Any:
        wanted = operation(name)
        return call(store, wanted, convert(wanted, fields))

    do("projects.add", name=store.project)
    return do


@pytest.fixture
def launcher(store: Workspace) -> Iterator[ProcessLauncher]:
    made = ProcessLauncher()
    yield made
    made.stop(ef.folder_of(store))


def known(do: Do, store: Workspace) -> str:
    """Ada runs the store, the shop may ask; the shop's token."""
    do("people.add", name="ada", roles=["admin"])
    do("people.add", name="shop", is_service=True, roles=["software engineer"], project=store.project)
    return str(do("tokens.add", name="shop").text)


@pytest.mark.full
def test_who_calls_is_known_by_the_folder_alone(store: Workspace, do: Do, launcher: ProcessLauncher) -> None:
    shop, folder = known(do, store), ef.folder_of(store)
    ada = do("tokens.add", scopes=["runs.*"])
    ef.deploy_plain(store, by_token=tell_endpoint(store, ef.NAME))
    url = launcher.ensure(folder).url
    with EndpointClient(url, ef.NAME, shop) as client:
        assert client.predict([ROW])["predictions"]
        client.settle()
        again = do("tokens.add", name="shop")
        with EndpointClient(url, ef.NAME, again.text) as newer:
            assert newer.predict([ROW]), "a token is good at once"
        do("tokens.revoke", id=again.token.id)
        with EndpointClient(url, ef.NAME, again.text) as revoked, pytest.raises(Unauthenticated):
            until_refused(revoked)
        assert client.predict([ROW]), "the other token is still good"
    for token, kind, words in ((None, Unauthenticated, "who calls"), (ada.text, Denied, "ada may not ask")):
        with EndpointClient(url, ef.NAME, token) as refused, pytest.raises(kind, match=words):
            refused.predict([ROW])
    do("people.change", name="shop", disabled=True)
    with EndpointClient(url, ef.NAME, shop) as disabled, pytest.raises(Unauthenticated):
        until_refused(disabled)
    launcher.stop(folder)
    rows = read_segments(folder / "log", "predictions", PredictionRow)[0]
    assert {row.caller for row in rows} == {"shop"}
    assert "predict" in read_seen(folder)["shop"]


def until_refused(client: EndpointClient) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        client.predict([ROW])
        time.sleep(0.05)


@pytest.mark.full
def test_an_open_store_s_endpoint_closes_when_people_become_known(
    store: Workspace, do: Do, launcher: ProcessLauncher
) -> None:
    folder = ef.folder_of(store)
    assert not tell_endpoint(store, ef.NAME)
    ef.deploy_plain(store)
    with EndpointClient(launcher.ensure(folder).url, ef.NAME) as anybody:
        assert anybody.predict([ROW])
        do("people.add", name="ada", roles=["admin"])
        with pytest.raises(Unauthenticated, match="does not know who calls"):
            until_refused(anybody)


def test_a_list_that_was_lost_is_written_again_and_one_that_holds_is_left(store: Workspace, do: Do) -> None:
    known(do, store)
    ef.deploy_plain(store)
    file = ef.folder_of(store) / CALLERS_FILE
    tell_endpoints(store)
    before = file.read_bytes()
    tell_endpoints(store)
    assert file.read_bytes() == before
    file.write_bytes(before[:-30])
    tell_endpoints(store)
    assert file.read_bytes() != before[:-30]
    secret = do("tokens.add", name="shop").text.partition("_")[2].partition("_")[2]
    assert secret.encode() not in file.read_bytes()


@pytest.mark.full
def test_endpoints_answer_elsewhere_by_tls_to_known_people(
    store: Workspace, do: Do, launcher: ProcessLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, authority = ef.folder_of(store), Authority(tmp_path)
    certificate, key = authority.sign("localhost")
    reach = Reach(host="0.0.0.0", certificate=str(certificate), key=str(key))
    with pytest.raises(InvalidInput, match="without TLS"):
        let_endpoints_answer(store, Reach(host="0.0.0.0"))
    with pytest.raises(InvalidInput, match="this store knows nobody"):
        let_endpoints_answer(store, reach)
    token = known(do, store)
    shop = in_project(replace(store, identity=identified(store.ledger, token, store.clock.now())), store.project)
    with pytest.raises(Denied, match=r"endpoints\.listen"):
        let_endpoints_answer(shop, reach)
    assert let_endpoints_answer(store, reach).names == ("localhost",)
    ef.deploy_plain(store, by_token=tell_endpoint(store, ef.NAME))
    url = launcher.ensure(folder).url
    assert url.startswith("https://localhost:")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with EndpointClient(url, ef.NAME, token) as client:
        assert client.predict([ROW])
    trust = ssl.create_default_context(cafile=str(authority.file))
    evil = httpx.get(f"{url}/health", headers={"host": "evil.example"}, verify=trust, trust_env=False)
    assert evil.status_code == 403
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url.replace('https', 'http')}/health", trust_env=False)
    Authority(tmp_path).sign("localhost")  # another authority's, renewed in the same files
    renewed = ssl.create_default_context(cafile=str(authority.file))
    end = time.monotonic() + 30
    while True:
        try:
            assert httpx.get(f"{url}/health", verify=renewed, trust_env=False).status_code == 200
            break
        except httpx.ConnectError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_an_endpoint_of_nobody_s_store_does_not_start_elsewhere(
    store: Workspace, do: Do, launcher: ProcessLauncher, tmp_path: Path
) -> None:
    known(do, store)
    certificate, key = Authority(tmp_path).sign("localhost")
    let_endpoints_answer(store, Reach(host="0.0.0.0", certificate=str(certificate), key=str(key)))
    ef.deploy_plain(store)
    with pytest.raises(BackendError, match="its store knows nobody"):
        launcher.ensure(ef.folder_of(store))
    key.unlink()
    tell_endpoints(store)
    with pytest.raises(BackendError, match=r"cannot be used for TLS: No such file"):
        launcher.ensure(ef.folder_of(store))
