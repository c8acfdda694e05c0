"""Deploy: judge, publish a signed revision, let the endpoint's process serve it; and the way back."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Conflict, Corrupt, GateRefused, InvalidInput, NotFound
from slipway.flows.approve import approvals_of
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.evidence import CHAMPION, champion_of, collect
from slipway.flows.feed import feed
from slipway.flows.package import training_set_of
from slipway.gates.floors import effective
from slipway.gates.judge import judge, verdict
from slipway.ids import check_name
from slipway.ledger import entries, events, lineage
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.operations.endpoints import Deploy, Deployed, Rollback
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.endpoints import Contract, EndpointStatus, Revision, Served
from slipway.records.gates import Verdict
from slipway.records.models import Bundle, ModelVersion
from slipway.records.runs import Run
from slipway.records.schema import Field
from slipway.serving.swap import publish

__all__ = ["deploy", "rollback"]

_SERVES_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05
_TURN_WITHIN_S = 180.0
_TURN_FILE = "deploy.lock"
_GUARDED = "prod"


def deploy(workspace: Workspace, request: Deploy) -> Deployed:
    """Judge a model version and, when its gate lets it through, let it serve.

    Deployments of one endpoint take turns: each is judged against what the one before it made the champion.

    Raises:
        NotFound: No such model or version.
        InvalidInput: A name or port that cannot be.
        GateRefused: A check refused or could not tell; the verdict is on the error and in the ledger.
        Conflict: The endpoint is prod's, or others deploy to it all the time.
        BackendError: The endpoint's process did not take the revision; the former one still serves.
    """
    _check_port(request.port)
    version = registry.get(workspace, request.model, request.version)
    bundle = registry.bundle_of(workspace, version)
    name = check_name(request.endpoint or version.name, "endpoint")
    declared = _declared(workspace, name, version)
    if request.dry_run:
        if request.gate is not None:
            declared = msgspec.structs.replace(declared, gate=request.gate)
        ruling = _judge(workspace, version, bundle, declared, keep=False)
        return Deployed(verdict=ruling, revision=None, status=None)
    with _turn(workspace, name):
        _check_environment(workspace, name)
        ruling = _judge(workspace, version, bundle, declared, keep=True)
        if not ruling.passed:
            raise _refused(version, ruling)
        served = Served(model=version.name, number=version.number, bundle=version.bundle)
        draft = _draft(workspace, name, served, _contract(workspace, version, bundle, declared), declared)
        if request.port and draft.port not in (0, request.port):
            workspace.say(f"{name} answers on port {draft.port} until it is stopped; {request.port} counts from then.")
        draft = msgspec.structs.replace(draft, port=request.port or draft.port, verdict_id=ruling.id)
        revision, status = _publish(workspace, draft, version, "endpoints.deploy")
        if registry.aliases(workspace, version.name).get(CHAMPION) != version.number:
            registry.set_alias(workspace, version.name, CHAMPION, version.number, reason=f"serves {name}")
    return Deployed(verdict=ruling, revision=revision, status=status)


def rollback(workspace: Workspace, request: Rollback) -> Deployed:
    """Let an earlier revision serve again, as a new revision equal to it. Its verdict is still its own.

    Raises:
        NotFound: Nothing was deployed there, or no such revision.
        GateRefused: Somebody rejected that bundle since.
        Conflict: There is nothing to go back to, or the endpoint or the revision is another environment's.
        BackendError: The endpoint's process did not take the revision; the present one still serves.
    """
    revision_of(workspace, request.name)
    with _turn(workspace, request.name):
        _check_environment(workspace, request.name)
        found = _earlier(workspace, request)
        _refuse_rejected(workspace, found)
        with workspace.ledger.read() as tx:
            ruling = entries.get(tx, Verdict, found.verdict_id)
        reason = f"rollback to {found.number}" + (f": {request.reason}" if request.reason else "")
        draft = msgspec.structs.replace(found, reason=reason, actor=workspace.actor, created_at=workspace.clock.now())
        version = registry.get(workspace, draft.served.model, draft.served.number)
        revision, status = _publish(workspace, draft, version, "endpoints.rollback")
        registry.set_alias(workspace, version.name, CHAMPION, version.number, reason=reason)
    return Deployed(verdict=ruling, revision=revision, status=status)


def _earlier(workspace: Workspace, request: Rollback) -> Revision:
    """The revision to go back to."""
    newest = revision_of(workspace, request.name)
    wanted = request.to or newest.number - 1
    if wanted == 0:
        raise Conflict(
            f"{request.name!r} has only one revision: there is nothing to go back to.",
            fix=f"Stop it instead: slipway endpoints stop {request.name}",
        )
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=workspace.project, name=request.name, number=wanted, limit=1)
    if not found:
        raise NotFound(f"{request.name!r} has no revision {wanted}.", fix=f"Its revisions are 1 to {newest.number}.")
    if workspace.environment == _GUARDED != found[0].environment:
        raise Conflict(
            f"Revision {wanted} of {request.name!r} was let through for {found[0].environment}, not for {_GUARDED}.",
            why="What another environment lets through was not judged by this one's gate.",
            fix=f"Let it be judged: slipway deploy {found[0].served.model} --version {found[0].served.number} "
            f"--endpoint {request.name} --env {_GUARDED}",
        )
    return found[0]


def _refuse_rejected(workspace: Workspace, revision: Revision) -> None:
    """What a person has rejected since it served does not come back."""
    latest = {(given.name, given.actor.name): given for given in approvals_of(workspace, revision.served.bundle)}
    against = [given for given in latest.values() if given.decision == "rejected"]
    if against:
        raise GateRefused(
            f"Revision {revision.number} of {revision.name!r} serves a bundle that {against[0].actor} rejected "
            f"as {against[0].name}.",
            why=against[0].comment or "A rejection counts for the way back too.",
            fix=f"Go back further with --to, or talk to {against[0].actor}: who rejected may approve again.",
        )


@contextmanager
def _turn(workspace: Workspace, name: str) -> Iterator[None]:
    """Hold an endpoint for one deployment at a time; the system frees it with the process, however that ends."""
    folder = folder_of(workspace, name)
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + _TURN_WITHIN_S
    with (folder / _TURN_FILE).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Conflict(
                        f"Somebody else has been deploying to {name!r} for {_TURN_WITHIN_S:.0f} seconds.",
                        fix=f"Look how it stands, then decide anew: slipway endpoints show {name}",
                    ) from None
                time.sleep(_LOOK_EVERY_S)
        yield


def _check_environment(workspace: Workspace, name: str) -> None:
    """What serves in prod is replaced only by what prod's own gate lets through."""
    with workspace.ledger.read() as tx:
        id = tx.ref(workspace.project, "endpoint", name)
        present = entries.get(tx, Revision, id) if id else None
    if present is not None and present.environment == _GUARDED != workspace.environment:
        raise Conflict(
            f"The endpoint {name!r} serves in {_GUARDED}, and this is {workspace.environment}.",
            why=f"What {workspace.environment} lets through was not judged for {_GUARDED}.",
            fix=f"Add --env {_GUARDED}, or give the endpoint another name.",
        )


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise InvalidInput(f"There is no port {port}.", fix="Give one from 1 to 65535, or 0 for any.", field="port")


def _declared(workspace: Workspace, name: str, version: ModelVersion) -> DeclaredEndpoint:
    """What the project declared of the endpoint; one that was never declared has the environment's floor as its gate."""
    with workspace.ledger.read() as tx:
        try:
            return entries.get(tx, DeclaredEndpoint, declared_id(workspace.project, workspace.environment, name))
        except NotFound:
            return DeclaredEndpoint(
                id=declared_id(workspace.project, workspace.environment, name),
                project=workspace.project,
                name=name,
                created_at=workspace.clock.now(),
                model=version.name,
            )


def _judge(
    workspace: Workspace, version: ModelVersion, bundle: Bundle, declared: DeclaredEndpoint, *, keep: bool
) -> Verdict:
    gate = effective(declared.gate, workspace.environment)
    champion = champion_of(workspace, version.name, endpoint=declared.name)
    now = workspace.clock.now()
    outcomes = judge(
        gate,
        collect(workspace, version, bundle, gate, endpoint=declared.name),
        approvals_of(workspace, version.bundle),
        subject=version.bundle,
        at=now,
        champion_known=champion is not None and champion.bundle != version.bundle,
        is_champion=champion is not None and champion.bundle == version.bundle,
        model=version.name,
        number=version.number,
    )
    ruling = verdict(
        outcomes,
        gate=gate,
        subject=version.bundle,
        environment=workspace.environment,
        actor=workspace.actor,
        project=workspace.project,
        model=version.name,
        at=now,
    )
    if keep:
        with workspace.ledger.write() as tx:
            entries.put(tx, ruling, expect=0)
            lineage.link(tx, f"bundle:{version.bundle}", f"verdict:{ruling.id}", "judged")
            events.record(tx, workspace, "gates.judge", f"bundle:{version.bundle}", passed=ruling.passed)
    return ruling


def _refused(version: ModelVersion, ruling: Verdict) -> GateRefused:
    against = [outcome for outcome in ruling.outcomes if outcome.result in ("refused", "cannot tell")]
    first = against[0]
    more = f" ({len(against) - 1} more checks did not pass.)" if len(against) > 1 else ""
    return GateRefused(
        f"{version.name} {version.number} was refused for {ruling.environment}: {first.check}.",
        why=f"{first.result.capitalize()}: {first.found}.{more}",
        fix=first.fix or f"See the evidence: slipway models show {version.name}",
        verdict=ruling,
    )


def _contract(workspace: Workspace, version: ModelVersion, bundle: Bundle, declared: DeclaredEndpoint) -> Contract:
    """The request's fields: what the model needs, and the declared key."""
    fields = list(bundle.features.request if bundle.features else _asked(bundle))
    known = {field.name for field in fields}
    columns = {field.name: field for field in _columns(workspace, version)}
    for name in declared.key:
        if name not in known:
            found = columns.get(name, Field(name, "string"))
            fields.append(msgspec.structs.replace(found, nullable=False))
    return Contract(fields=tuple(fields), key=declared.key, strict=declared.strict)


def _asked(bundle: Bundle) -> tuple[Field, ...]:
    # A request may carry a category that the model has never seen, so it asks for text.
    return tuple(
        Field(field.name, "string", field.nullable) if field.type == "category" else field
        for field in bundle.signature.inputs
    )


def _columns(workspace: Workspace, version: ModelVersion) -> tuple[Field, ...]:
    if not version.run_id:
        return ()
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, version.run_id)
    training = training_set_of(workspace, run)
    return training.columns if training else ()


def _draft(workspace: Workspace, name: str, served: Served, contract: Contract, declared: DeclaredEndpoint) -> Revision:
    status = workspace.launcher.status(folder_of(workspace, name))
    port = int(status.url.rpartition(":")[2]) if status and status.url else 0
    return Revision(
        id="",
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        number=0,
        environment=workspace.environment,
        served=served,
        contract=contract,
        workers=declared.workers,
        simulation=declared.simulation,
        port=port,
        actor=workspace.actor,
        monitors=declared.monitors,
    )


def _publish(
    workspace: Workspace, draft: Revision, version: ModelVersion, verb: str
) -> tuple[Revision, EndpointStatus]:
    """Give the draft its number, put everything into the endpoint's folder, and wait until it serves."""
    folder = folder_of(workspace, draft.name)
    _unpack(workspace, version, folder / "bundles" / version.bundle)
    _feed(workspace, version, folder, is_way_back=verb == "endpoints.rollback")
    with workspace.ledger.write() as tx:
        former = tx.ref(workspace.project, "endpoint", draft.name)
        number = (entries.get(tx, Revision, former).number if former else 0) + 1
        revision = msgspec.structs.replace(draft, number=number, id=f"{workspace.project}/{draft.name}/{number}")
        entries.put(tx, revision, expect=0)
        tx.set_ref(workspace.project, "endpoint", draft.name, revision.id, expect=former)
        lineage.link(tx, f"bundle:{version.bundle}", f"revision:{revision.id}", "serves")
        events.record(
            tx,
            workspace,
            verb,
            f"revision:{revision.id}",
            model=version.name,
            version=version.number,
            reason=revision.reason,
        )
    publish(folder, revision, workspace.signer)
    return revision, _await(workspace, folder, revision)


def _feed(workspace: Workspace, version: ModelVersion, folder: Path, *, is_way_back: bool) -> None:
    """Bring the online store up to date; the way back stays open where the tables have moved on."""
    try:
        feed(workspace, registry.bundle_of(workspace, version), folder)
    except (InvalidInput, NotFound) as problem:
        if not is_way_back:
            raise
        workspace.say(f"{problem} It serves from what its online store holds and is pushed.")


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
