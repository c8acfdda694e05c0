"""Publish: a revision goes into the ledger and, signed, into the endpoint's folder; then it is awaited.

The ledger is first. What was killed between the two is made good by `converge`, so that the folder always comes to say
what the ledger says.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Corrupt, InvalidInput, NotFound, Unavailable
from slipway.flows import break_glass
from slipway.flows.endpoints import folder_of, last_status
from slipway.flows.feed import feed
from slipway.flows.own_environment import with_environments
from slipway.flows.trained_on import personal_inputs, personal_names
from slipway.governance.callers import tell_endpoint
from slipway.governance.telling import tell_of_revision
from slipway.ledger import entries, events, lineage
from slipway.ledger.limits import check_room
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.endpoints import EMBEDDED, EndpointStatus, LogSpec, OnlinePlace, Revision
from slipway.records.models import ModelVersion
from slipway.serving.log_policy import KEY_FILE
from slipway.serving.online_place import read_place, write_place
from slipway.serving.swap import REVISION_FILE, publish, read_revision
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.whole_files import write_once

__all__ = ["converge", "publish_revision"]

_SERVES_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05


def publish_revision(
    workspace: Workspace,
    draft: Revision,
    versions: Sequence[ModelVersion],
    verb: str,
    *,
    also: Callable[[WriteTransaction, Revision], None] = lambda tx, revision: None,
) -> tuple[Revision, EndpointStatus | None]:
    """Give a draft its number, put everything into the endpoint's folder, and wait until it serves.

    A batch endpoint has no process and no online store: its scorings read the folder and the tables.

    Args:
        workspace: Whose endpoint.
        draft: The revision without id and number.
        versions: The model versions that it names, the one that serves first.
        verb: The event's verb.
        also: What else is to be written in the same transaction, given the numbered revision.

    Raises:
        BackendError: The endpoint's process did not take the revision; the former one still serves.
        Conflict: The versions need different environments.
    """
    folder = folder_of(workspace, draft.name)
    if draft.batch is None:
        draft = with_environments(workspace, draft, versions)
    behind = _behind(workspace, draft, versions)
    for version in (*versions, *behind):
        home = folder / "bundles" / version.bundle
        _unpack(workspace, version, home)
        if not (home / bundles.SAMPLE).exists():
            workspace.say(f"{version.name} {version.number} is deployed without its self-check: {bundles.NO_SAMPLE}.")
    if draft.batch is None:
        _feed(workspace, draft.name, (*versions, *behind), is_way_back=verb == "endpoints.rollback")
    draft = msgspec.structs.replace(
        draft,
        by_token=tell_endpoint(workspace, draft.name),
        personal=_personal(workspace, (*versions, *behind)),
        log=_log_of(workspace, folder, draft.log, versions),
    )
    revision = _numbered(workspace, draft, versions, behind, verb, also)
    _publish(workspace, folder, revision)
    return revision, _await(workspace, folder, revision) if revision.batch is None else None


def _numbered(
    workspace: Workspace,
    draft: Revision,
    versions: Sequence[ModelVersion],
    behind: Sequence[ModelVersion],
    verb: str,
    also: Callable[[WriteTransaction, Revision], None],
) -> Revision:
    """The draft as the endpoint's next revision, with all that is written beside it in one transaction."""
    serves = versions[0]
    with workspace.ledger.write() as tx:
        former = tx.ref(workspace.project, "endpoint", draft.name)
        if former is None:
            check_room(tx, workspace, "endpoints")
        number = (entries.get(tx, Revision, former).number if former else 0) + 1
        revision = msgspec.structs.replace(draft, number=number, id=f"{workspace.project}/{draft.name}/{number}")
        entries.put(tx, revision, expect=0)
        tx.set_ref(workspace.project, "endpoint", draft.name, revision.id, expect=former)
        lineage.link(tx, f"bundle:{serves.bundle}", f"revision:{revision.id}", "serves")
        for version, how in (*((one, "challenges") for one in versions[1:]), *((one, "stands in") for one in behind)):
            lineage.link(tx, f"bundle:{version.bundle}", f"revision:{revision.id}", how)
        also(tx, revision)
        tell_of_revision(tx, workspace, revision)
        break_glass.look_after(tx, workspace, revision, workspace.clock.now())
        events.record(
            tx,
            workspace,
            verb,
            f"revision:{revision.id}",
            model=serves.name,
            version=serves.number,
            reason=revision.reason,
        )
    return revision


def _publish(workspace: Workspace, folder: Path, revision: Revision) -> None:
    """Let a folder say what serves, and before it what the rows will consist of that the log gets from it."""
    for one in (revision.served, *(beside.served for beside in revision.challengers)):
        bundle = registry.bundle_of(workspace, registry.get(workspace, one.model, str(one.number)))
        inputs = bundle.signature.inputs
        layout = LogLayout(revision.number, one.bundle[:16], revision.contract.fields, inputs)
        write_layout(folder / "log", layout)
    publish(folder, revision, workspace.signer)


def _behind(workspace: Workspace, draft: Revision, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """The versions that only a draft's fallback names."""
    known = {version.bundle for version in versions}
    return [registry.get(workspace, one.model, str(one.number)) for one in draft.versions if one.bundle not in known]


def _personal(workspace: Workspace, versions: Sequence[ModelVersion]) -> tuple[str, ...]:
    """The inputs of models that tell of a person, by what is known now."""
    found = (personal_inputs(workspace, version, registry.bundle_of(workspace, version)) for version in versions)
    return tuple(sorted(frozenset().union(*found)))


def _log_of(workspace: Workspace, folder: Path, log: LogSpec, versions: Sequence[ModelVersion]) -> LogSpec:
    """How predictions are logged, with the names that stay out of it by what is known now, and the key that hides them."""
    if not log.redact:
        return log
    folder.mkdir(parents=True, exist_ok=True)
    write_once(folder / KEY_FILE, secrets.token_bytes(32), mode=0o600)
    found = (personal_names(workspace, version, registry.bundle_of(workspace, version)) for version in versions)
    return msgspec.structs.replace(log, redacted=tuple(sorted(frozenset().union(*found))))


def converge(workspace: Workspace, revision: Revision) -> None:
    """Let an endpoint's folder say what the ledger says, and its process run, where a kill came in between.

    Args:
        workspace: Whose endpoint.
        revision: Its newest revision.

    Raises:
        BackendError: The endpoint's process does not take the revision.
    """
    folder = folder_of(workspace, revision.name)
    _feed_again(workspace, revision)
    was_killed = revision.batch is None and _was_killed(workspace, folder)
    try:
        is_told = read_revision(folder / REVISION_FILE, workspace.signer).number >= revision.number
    except (NotFound, Corrupt) as problem:
        workspace.say(f"{problem} It is published anew.")
        is_told = False
    if not is_told:
        _publish(workspace, folder, revision)
    if was_killed:
        workspace.say(f"The process of {revision.name!r} was killed; it is started again.")
        workspace.launcher.ensure(folder)
    if not is_told and workspace.launcher.status(folder) is not None:
        _await(workspace, folder, revision)


def _was_killed(workspace: Workspace, folder: Path) -> bool:
    """Whether an endpoint's process ended without being told to: who stops in order says so last."""
    said = last_status(folder)
    return said is not None and said.state in ("starting", "ready") and workspace.launcher.status(folder) is None


def _feed(workspace: Workspace, name: str, versions: Sequence[ModelVersion], *, is_way_back: bool) -> None:
    """Bring the online store up to date, and let the folder name it.

    The way back stays open where the tables have moved on.
    """
    folder = folder_of(workspace, name)
    place = _place_of(workspace, name, folder)
    identity = ""
    for version in versions:
        try:
            identity = feed(workspace, registry.bundle_of(workspace, version), folder, place) or identity
        except (InvalidInput, NotFound) as problem:
            if not is_way_back:
                raise
            workspace.say(f"{problem} It serves from what its online store holds and is pushed.")
            identity = identity or read_place(folder).identity
    # Named once it is loaded: a worker that reads there expects what was loaded, and nothing less.
    write_place(folder, msgspec.structs.replace(place, identity=identity if place.url else ""))


def _place_of(workspace: Workspace, name: str, folder: Path) -> OnlinePlace:
    """The online store that settings name: those of the declaration; an endpoint that was never declared keeps its own."""
    with workspace.ledger.read() as tx:
        try:
            url = entries.get(tx, DeclaredEndpoint, declared_id(workspace.project, workspace.environment, name)).online
        except NotFound:
            url = workspace.online or read_place(folder).url
    return OnlinePlace(url=url, namespace=f"slipway:{workspace.project}:{workspace.environment}") if url else EMBEDDED


def _feed_again(workspace: Workspace, revision: Revision) -> None:
    """Load a shared online store again that has lost what an endpoint's features look up there."""
    folder = folder_of(workspace, revision.name)
    place = read_place(folder)
    if not place.identity:
        return
    store = workspace.open_online(folder, place)
    try:
        if store.identity() == place.identity:
            return
    except Unavailable as problem:  # the endpoint says so to its callers; there is nothing to load into
        workspace.say(str(problem))
        return
    finally:
        store.close()
    workspace.say(f"The online store of {revision.name!r} has lost what it held; it is loaded again.")
    versions = [registry.get(workspace, one.model, str(one.number)) for one in revision.versions]
    _feed(workspace, revision.name, versions, is_way_back=False)


def _unpack(workspace: Workspace, version: ModelVersion, folder: Path) -> None:
    """Put the bundle's files into the endpoint's folder; they appear whole or not at all."""
    if folder.exists():
        try:
            bundles.verify(folder, expect=version.bundle, signer=workspace.signer)
            return
        except Corrupt:
            shutil.rmtree(folder)  # damaged: fetched anew below
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    bundles.unpack(workspace, version.manifest, part, signature=version.signature, expect=version.bundle)
    part.rename(folder)


def _await(workspace: Workspace, folder: Path, revision: Revision) -> EndpointStatus:
    status = workspace.launcher.ensure(folder)
    until = time.monotonic() + _SERVES_WITHIN_S
    while status.revision != revision.number:
        if status.refused == revision.number or time.monotonic() > until:
            raise BackendError(
                f"The endpoint {revision.name!r} did not take revision {revision.number}; "
                f"revision {status.revision} still serves.",
                why=status.note or f"It had {_SERVES_WITHIN_S:.0f} seconds.",
                fix=f"Read {folder / 'front.log'}, and deploy again.",
            )
        time.sleep(_LOOK_EVERY_S)
        status = workspace.launcher.status(folder) or workspace.launcher.ensure(folder)
    return status
