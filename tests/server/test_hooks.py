"""Requests that fire a schedule: by the secret or a signature, each delivery once, and never more than was declared."""

import hmac
import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
from msgspec import structs

from filled_schedules import AT, HOOK
from filled_store import fill
from server_desk import asker
from slipway.flows.schedules import pause, schedule_of
from slipway.ledger import entries
from slipway.loop.hooks import LARGEST_BODY, make_hook
from slipway.operations.schedules import MakeHook, PauseSchedule
from slipway.ports.workspace import Workspace
from slipway.records.schedules import Firing
from slipway.server import openapi

PATH = f"/api/v1/hooks/{HOOK}"


class Hooked:
    """A server's store with a hook, whose firings wait behind one that runs."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.secret = make_hook(workspace, MakeHook(name="nightly")).secret

    def send(self, body: bytes = b"", *, path: str = PATH, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return asker(self.workspace)("POST", path, content=body, headers={"content-type": "application/json"} | given)

    def known(self, body: bytes = b"", **headers: str) -> httpx.Response:
        return self.send(body, authorization=f"Bearer {self.secret}", **headers)

    def signed(self, body: bytes, *, secret: str = "", **headers: str) -> httpx.Response:
        made = hmac.new((secret or self.secret).encode(), body, sha256).hexdigest()
        return self.send(body, x_hub_signature_256=f"sha256={made}", **headers)

    def firings(self) -> list[Firing]:
        with self.workspace.ledger.read() as tx:
            return [one for one in entries.every(tx, Firing, project="flights") if one.trigger == "hook"]


@pytest.fixture
def hooked(workspace: Workspace) -> Hooked:
    fill(workspace)
    with workspace.ledger.write() as tx:
        schedule = schedule_of(workspace, "nightly")
        entries.put(tx, structs.replace(schedule, spec=structs.replace(schedule.spec, overlap="queue")))
        running = entries.get(tx, Firing, f"{3:032x}")
        begun = {"state": "started", "started_at": AT + timedelta(days=3)}
        entries.put(tx, structs.replace(running, name="nightly", parent_id="flights/dev/nightly", **begun))
    return Hooked(workspace)


def body(**params: Any) -> bytes:
    return json.dumps({"params": params, "ref": "refs/heads/main"}).encode()


def test_who_knows_the_secret_fires_with_what_was_declared(hooked: Hooked) -> None:
    answer = hooked.known(body(until="2013-03-01"))
    assert (answer.status_code, answer.json()["schedule"], answer.json()["state"]) == (200, "nightly", "due")
    (one,) = hooked.firings()
    assert one.params == {"until": "2013-03-01"}
    assert one.asked_by is not None
    assert one.asked_by.name == "hook of nightly"
    assert hooked.known().status_code == 200  # each request without a name is one of its own
    assert len(hooked.firings()) == 2
    with hooked.workspace.ledger.read() as tx:
        told = [event for event in tx.events() if event.verb == "schedules.fire"]
    assert {event.actor.name for event in told} == {"hook of nightly"}
    assert hooked.secret not in str(told)


def test_a_body_signed_as_github_does_fires_once_for_each_delivery(hooked: Hooked) -> None:
    for name, is_new in (("d1", True), ("d1", False), ("d2", True)):
        answer = hooked.signed(body(), x_github_delivery=name)
        assert (answer.status_code, answer.json()["is_new"]) == (200, is_new)
    assert len(hooked.firings()) == 2


def test_who_does_not_know_it_is_refused_and_learns_nothing(hooked: Hooked) -> None:
    answers = [
        hooked.send(body()),
        hooked.send(body(), authorization="Bearer guess"),
        hooked.send(body(), authorization=hooked.secret),
        hooked.signed(body(), secret="guess", x_github_delivery="d"),
        hooked.send(body(until="2013-03-01"), x_hub_signature_256="sha256=" + "0" * 64, x_github_delivery="d"),
        hooked.send(body(), x_hub_signature_256="sha1=" + "0" * 40, x_github_delivery="d"),
        hooked.send(body(), x_hub_signature_256="sha256=xyz", x_github_delivery="d"),
        hooked.send(path="/api/v1/hooks/" + "0" * 32),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1
    assert hooked.firings() == []


def test_a_signature_holds_for_its_body_alone(hooked: Hooked) -> None:
    made = hmac.new(hooked.secret.encode(), body(until="2013-03-01"), sha256).hexdigest()
    other = hooked.send(body(until="2014-03-01"), x_hub_signature_256=f"sha256={made}", x_github_delivery="d")
    assert other.status_code == 403


@pytest.mark.parametrize(
    ("sent", "headers", "status", "words"),
    [
        (body(depth=4), {}, 422, "takes no parameter 'depth' from a request"),
        (body(until="soon"), {}, 422, "It takes a date."),
        (b'{"params": [1]}', {}, 422, "The request's params are a list"),
        (b"[1]", {}, 422, "no JSON object"),
        (b"{", {}, 422, "no JSON object"),
        (b'{"params": "\xff"}', {}, 422, "no JSON object"),
        (b"{" + b'"a":{' * 100_000, {}, 422, "no JSON object"),
        (b"x" * (LARGEST_BODY + 1), {}, 413, "more than 1,048,576 bytes"),
        (b"payload=1", {"content_type": "application/x-www-form-urlencoded"}, 400, "A hook takes JSON."),
        (body(), {"idempotency_key": "k" * 300}, 422, "has 300 characters"),
    ],
)
def test_what_does_not_fit_is_said(
    hooked: Hooked, sent: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = hooked.known(sent, **headers)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert hooked.firings() == []


def test_a_signed_request_without_a_name_could_be_sent_once_more_and_is_refused(hooked: Hooked) -> None:
    answer = hooked.signed(body())
    assert (answer.status_code, "has no name" in answer.text) == (422, True)


def test_a_new_secret_voids_the_former_one(hooked: Hooked) -> None:
    former = hooked.secret
    hooked.secret = make_hook(hooked.workspace, MakeHook(name="nightly")).secret
    assert hooked.send(authorization=f"Bearer {former}").status_code == 403
    assert hooked.signed(body(), secret=former, x_github_delivery="d").status_code == 403
    assert hooked.known().status_code == 200


def test_the_secret_is_nowhere_and_the_key_is_its_owners_alone(hooked: Hooked) -> None:
    found = [path for path in hooked.workspace.root.rglob("*") if path.is_file()]
    assert [path for path in found if hooked.secret.encode() in path.read_bytes()] == []
    assert (hooked.workspace.root / "keys" / "hooks.key").stat().st_mode & 0o077 == 0
    listed = asker(hooked.workspace)("GET", "/api/v1/projects/flights/schedules/get", params={"name": "nightly"})
    assert listed.json()["schedule"]["hook_secret"] == ""


def test_where_the_key_is_another_folders_the_secret_does_and_signatures_are_said_not_to(hooked: Hooked) -> None:
    (hooked.workspace.root / "keys" / "hooks.key").write_bytes(b"another folder's key, 32 bytes...")
    assert hooked.known().status_code == 200
    answer = hooked.signed(body(), x_github_delivery="d")
    assert (answer.status_code, "keys/hooks.key" in answer.text) == (503, True)


def test_a_schedule_that_is_paused_takes_none(hooked: Hooked) -> None:
    pause(hooked.workspace, PauseSchedule(name="nightly"))
    answer = hooked.known()
    assert (answer.status_code, "is paused" in answer.text) == (409, True)


def test_before_a_secret_was_made_nobody_may(workspace: Workspace) -> None:
    fill(workspace)
    for given in ({"authorization": "Bearer "}, {"x-hub-signature-256": "sha256="}):
        assert asker(workspace)("POST", PATH, headers=given).status_code == 403


def test_the_buttons_of_the_page_do_what_they_say_and_only_from_there(hooked: Hooked) -> None:
    home = "/projects/flights/schedules/nightly"
    ask = asker(hooked.workspace)
    foreign = ask("POST", f"{home}/pause", headers={"origin": "https://example.org"})
    assert foreign.status_code == 403
    for verb, state in (("pause", "paused"), ("resume", "active")):
        answer = ask("POST", f"{home}/{verb}", headers={"origin": "http://127.0.0.1:8300"})
        assert (answer.status_code, answer.headers["location"]) == (303, home)
        assert schedule_of(hooked.workspace, "nightly").state == state
    assert ask("POST", f"{home}/fire").status_code == 303
    reader = replace(hooked.workspace, actor=replace_roles(hooked.workspace, "business owner"))
    assert asker(reader)("POST", f"{home}/pause").status_code == 403
    assert "<button>" not in asker(reader)("GET", home).text


def replace_roles(workspace: Workspace, role: str) -> Any:
    return structs.replace(workspace.actor, roles=(role,))


def test_the_route_is_described_and_answers_so(hooked: Hooked) -> None:
    described = openapi.document("1")
    (route,) = [found for path, found in described["paths"].items() if path == "/api/v1/hooks/{hook}"]
    answer = hooked.known(body())
    shape = described["components"]["schemas"][
        route["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    ]
    assert set(answer.json()) == set(shape["required"]) == set(shape["properties"])
    assert {str(hooked.send().status_code), "413", "422", "409"} <= set(route["post"]["responses"])
    named = {one["name"].lower() for one in route["post"]["parameters"] if one["in"] == "header"}
    assert named == {"idempotency-key", "x-github-delivery"}
    again = [hooked.known(body(), **{name: "d"}).json()["is_new"] for name in ("idempotency_key", "idempotency_key")]
    assert again == [True, False]
    assert list(described["components"]["securitySchemes"]) == ["hookSecret", "hookSignature"]
