"""Firing by an HTTP request: who may, by a secret that nobody stores.

A hook's secret follows from a key in the store's folder, the hook's id and a number that counts the secrets made, so
that a signature can be checked; the ledger has its SHA-256 only, which is enough to know the secret itself.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace as changed

from slipway.errors import Conflict, Denied, InvalidInput, Unavailable
from slipway.flows.schedules import HOOK, schedule_of
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.loop.schedules import fire
from slipway.operations.schedules import Fired, Hook, MakeHook
from slipway.pipelines.given import fitting
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.schedules import Schedule, ScheduleTrigger
from slipway.whole_files import write_once

__all__ = ["LARGEST_BODY", "deliver", "make_hook", "path_of"]

LARGEST_BODY = 1 << 20
"""How many bytes a request may have."""

_KEY_FILE = "hooks.key"
_KEY_BYTES = 32
_LONGEST_DELIVERY = 200
_SIGNED = "sha256="


def path_of(schedule: Schedule) -> str:
    """The path under which a schedule takes requests."""
    return f"/api/v1/hooks/{schedule.hook}"


def make_hook(workspace: Workspace, request: MakeHook) -> Hook:
    """Make the secret with which requests may fire a schedule. A former one is void from now on.

    Raises:
        NotFound: There is no such schedule.
        Conflict: It declares no hook.
    """
    name = request.name
    schedule = schedule_of(workspace, name)
    if not schedule.hook:
        raise Conflict(
            f"The schedule {name!r} takes no requests.",
            fix="Declare it, when=[sw.on_hook()], and publish it: slipway schedules apply",
        )
    with workspace.ledger.write() as tx:
        present = entries.get(tx, Schedule, schedule.id)
        edition = present.hook_edition + 1
        secret = _secret(workspace.root, present.hook, edition)
        entries.put(tx, changed(present, hook_edition=edition, hook_secret=_hashed(secret)))
        events.record(tx, workspace, "schedules.hook", f"schedule:{present.id}", edition=edition)
    return Hook(path=path_of(present), secret=secret, edition=edition)


def deliver(workspace: Workspace, hook: str, body: bytes, headers: Mapping[str, str]) -> Fired:
    """Fire a schedule because a request asks for it. The same delivery again is the same firing.

    Args:
        workspace: The server's.
        hook: The id in the request's path.
        body: The request's body.
        headers: Its headers, by lower-case names.

    Raises:
        Denied: There is no such hook, or secret or signature is not its own: one sentence for both, so that nobody can
            find out which hooks there are.
        Unavailable: The signature cannot be checked at this server.
        InvalidInput: The body is no JSON object, or sets a parameter that it may not set, or the delivery has no name.
        Conflict: The schedule is paused or declared no more.
    """
    schedule = _known(workspace, hook)
    _check_secret(workspace, schedule, body, headers)
    assert schedule is not None  # it was checked
    trigger = next((one for one in schedule.spec.when if one.kind == "hook"), ScheduleTrigger(kind="hook"))
    given = _params(body)
    params = fitting(schedule.spec.parameters, given, of=f"the schedule {schedule.name!r}", allowed=trigger.params)
    if schedule.state == "paused":
        raise Conflict(
            f"The schedule {schedule.name!r} is paused.", fix=f"Resume it: slipway schedules resume {schedule.name}"
        )
    environment = schedule.parent_id.removeprefix(f"{schedule.project}/")
    actor = Actor(f"hook of {schedule.name}", kind="service")
    acting = replace(workspace, project=schedule.project, environment=environment, actor=actor)
    return fire(acting, schedule, HOOK, _delivery(headers), params)


def _known(workspace: Workspace, hook: str) -> Schedule | None:
    with workspace.ledger.read() as tx:
        found = tx.ref("", HOOK, hook) if hook else None
        return entries.get(tx, Schedule, found) if found else None


def _check_secret(workspace: Workspace, schedule: Schedule | None, body: bytes, headers: Mapping[str, str]) -> None:
    refused = Denied(
        "The request has no secret or signature that fits this hook.",
        fix="Send 'Authorization: Bearer SECRET', or sign the body as GitHub does; slipway schedules hook NAME makes a secret.",
    )
    if schedule is None or not schedule.hook or not schedule.hook_edition or schedule.state == "withdrawn":
        raise refused
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        if not hmac.compare_digest(_hashed(given.strip()), schedule.hook_secret):
            raise refused
        return
    signature = headers.get("x-hub-signature-256", "")
    if not signature.startswith(_SIGNED):
        raise refused
    secret = _secret(workspace.root, schedule.hook, schedule.hook_edition)
    if not hmac.compare_digest(_hashed(secret), schedule.hook_secret):
        raise Unavailable(
            "Signatures of this hook cannot be checked here.",
            why="The secret was made at another folder of this ledger, whose key this one does not have.",
            fix=f"Copy keys/{_KEY_FILE} of that folder to this one, or make a new secret here.",
        )
    wanted = hmac.new(secret.encode(), body, sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), signature[len(_SIGNED) :].encode(errors="replace")):
        raise refused


def _params(body: bytes) -> dict[str, Any]:
    """What a request sets. Other fields are let be: the payload of a push has many."""
    if not body.strip():
        return {}
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise InvalidInput(
            f"The request's body is no JSON object: {problem}.",
            fix='Send {"params": {"until": "2013-04-01"}} or nothing.',
        ) from problem
    params = found.get("params", {})
    if not isinstance(params, dict):
        raise InvalidInput(
            f"The request's params are a {type(params).__name__}.",
            fix='Send them by name: {"params": {"until": "2013-04-01"}}.',
            field="params",
        )
    return params


def _delivery(headers: Mapping[str, str]) -> str:
    """What a delivery is told from others by; a request that names none is one of its own."""
    named = headers.get("x-github-delivery") or headers.get("idempotency-key") or ""
    if len(named) > _LONGEST_DELIVERY:
        raise InvalidInput(
            f"The delivery's name has {len(named)} characters.", fix=f"Give at most {_LONGEST_DELIVERY}."
        )
    if not named and "authorization" not in headers:  # anybody who saw it could send it once more
        raise InvalidInput(
            "A signed request has no name.",
            why="Without one the same request, sent once more by somebody who saw it, would be another.",
            fix="Send X-GitHub-Delivery, as GitHub does, or Idempotency-Key.",
        )
    return named or new_id()


def _secret(root: Path, hook: str, edition: int) -> str:
    made = hmac.new(_key(root), f"{hook}:{edition}".encode(), sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _key(root: Path) -> bytes:
    """The key from which secrets follow; it is made when it is first asked for, and readable by its owner alone."""
    path = root / "keys" / _KEY_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, os.urandom(_KEY_BYTES), mode=0o600)
    return path.read_bytes()


def _hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
