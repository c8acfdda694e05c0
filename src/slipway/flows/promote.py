"""Promote: take a version from one environment into the next, stage by stage, and go on where it stands.

What each stage came to is in the ledger before the next begins. Whatever is killed, the same command goes on: a stage
that was under way looks at what is there, and does what is missing.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, SlipwayError, StepFailed
from slipway.features.sets import FeatureSet
from slipway.flows.endpoints import folder_of
from slipway.flows.promotion import Promoted, Stage, name_of
from slipway.flows.promotion import Promotion as Workflow
from slipway.flows.promotion_stages import STAGES
from slipway.flows.promotion_way import Ask, Came, Way, arrived
from slipway.flows.promotions import bring_along, keep, moved, newest_of, reason_of
from slipway.flows.replay_rows import Serve, over_http
from slipway.hashing import digest
from slipway.ids import check_name
from slipway.ledger import events
from slipway.ledger.provenance import user_trace
from slipway.models import registry
from slipway.models.numbered import versions_in
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.promotions import Promotion, PromotionStage
from slipway.whole_files import write_whole

__all__ = ["promote", "trust", "version_of"]

_HEX_OF_A_KEY = 16


def version_of(workspace: Workspace, model: str, version: str) -> ModelVersion:
    """A version that may be promoted.

    Raises:
        NotFound: No such model or version, or it is in the trash.
        InvalidInput: It has no signed bundle.
    """
    try:
        return registry.get(workspace, model, version)
    except NotFound as problem:
        with workspace.ledger.read() as tx:
            gone = [one for one in versions_in(tx, workspace.project, model, deleted=True) if one.state == "deleted"]
        if any(version in (str(one.number), "latest") for one in gone):
            raise NotFound(
                f"{model} {version} is in the trash of {workspace.environment}.",
                why="What somebody threw away goes nowhere.",
                fix="Take it back first: slipway trash list, slipway trash restore",
            ) from problem
        raise


def promote(
    source: Workspace,
    target: Workspace,
    version: ModelVersion,
    workflow: Workflow,
    *,
    endpoint: str = "",
    features: FeatureSet | None = None,
    others: Sequence[Workspace] = (),
    port: int = 0,
    before: str = "",
    reason: str = "",
    ask: Ask,
    serve: Serve = over_http,
) -> Promotion:
    """Take a version through its stages as far as it comes now.

    Args:
        source: The environment that it comes from.
        target: The environment that it goes into.
        version: At the source.
        workflow: The stages.
        endpoint: Where it is to serve; an endpoint of the model's own name when left out.
        features: The feature set of that endpoint, as the project's code declares it now.
        others: Further environments whose pages show where it stands.
        port: The port that the endpoint is to listen on, 0 for any.
        before: The stage before which it stops, "" for none.
        reason: Why; "" leaves what was said before.
        ask: Asks an endpoint over HTTP.
        serve: Asks stored rows of the bundle as it serves at the target; its endpoint process, unless something else is given.

    Returns:
        The promotion as it stands: done, or waiting for somebody or something.

    Raises:
        Denied: Whoever asks may not deploy at the target.
        InvalidInput: Source and target are one environment, or the reason is too long.
        GateRefused: A gate or a person said no.
        Conflict: Somebody else promotes the model there now, or an earlier environment is missing.
        StepFailed: A stage of the project's own raised.
    """
    check_allowed(target, "promotions.start", "endpoints.deploy")
    _check_apart(source, target, version)
    places = _places(target, source, *others)
    way = partial(
        Way, source=source, target=target, version=version, features=features, port=port, ask=ask, serve=serve
    )
    with _alone(target, version.name):
        where = check_name(endpoint or version.name, "endpoint")
        promotion = _begun(places, source, target, version, workflow, where, reason_of(reason))
        bring_along(places, promotion)
        for stage in takewhile(lambda stage: name_of(stage) != before, workflow.stages):
            former = next(one for one in promotion.stages if one.name == name_of(stage))
            if former.state == "done":
                continue
            begun = _set(places, promotion, PromotionStage(name=former.name, state="under way"))
            promotion = _through(way(promotion=begun, former=former.state), stage, places)
            if promotion.state == "waiting":
                break
    return promotion


def trust(source: Workspace, target: Workspace, key: str) -> None:
    """Let a store trust the key of another one from now on.

    Args:
        source: Whose key it is.
        target: Who is to trust it.
        key: The first 16 hex digits of the public key's digest.

    Raises:
        Denied: Whoever asks may not.
        NotFound: The other store has no such key.
        Corrupt: The file is another key.
    """
    check_allowed(target, "keys.trust", "keys.trust")
    file = source.root / "keys" / "trusted" / f"{key}.pub"
    known = sorted(path.stem for path in file.parent.glob("*.pub"))
    if key not in known:
        raise NotFound(
            f"The store of {source.environment} has no key {key!r}.", fix=f"Its keys are: {', '.join(known) or 'none'}."
        )
    public = file.read_bytes()
    if digest(public)[:_HEX_OF_A_KEY] != key:
        raise InvalidInput(f"{file} holds another key than its name says.", fix="Take it from a backup.", field="trust")
    place = target.root / "keys" / "trusted" / file.name
    if place.exists():
        return
    with target.ledger.write() as tx:
        events.record(tx, target, "keys.trust", f"key:{key}", source=source.environment)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, public)


def _check_apart(source: Workspace, target: Workspace, version: ModelVersion) -> None:
    if source.environment == target.environment:
        raise InvalidInput(
            f"{version.name} is in {target.environment} already.", fix="Name another environment with --to.", field="to"
        )


def _places(*workspaces: Workspace) -> list[Workspace]:
    """Workspaces with ledgers of their own, each once."""
    return list({str(workspace.root): workspace for workspace in reversed(workspaces)}.values())[::-1]


def _begun(
    places: Sequence[Workspace],
    source: Workspace,
    target: Workspace,
    version: ModelVersion,
    workflow: Workflow,
    endpoint: str,
    reason: str,
) -> Promotion:
    """The promotion of these bytes that is under way or whose end still holds; otherwise a new one."""
    names = [name_of(stage) for stage in workflow.stages]
    found = newest_of(target, version.name, target.environment, bundle=version.bundle)
    if found is not None and found.endpoint == endpoint and (found.state != "done" or _still_holds(target, found)):
        known = {stage.name: stage for stage in found.stages}
        stages = tuple(known.get(name, PromotionStage(name=name)) for name in names)
        why = reason or found.reason
        if stages == found.stages:
            same = msgspec.structs.replace(found, reason=why)
            return found if same == found else keep(places, same, verb="promotions.stage")
        changed = msgspec.structs.replace(found, stages=stages, workflow=workflow.name, state="under way", reason=why)
        return keep(places, changed, verb="promotions.stage")
    latest = newest_of(target, version.name, target.environment)
    number = latest.number + 1 if latest else 1
    now = target.clock.now()
    begun = Promotion(
        id=f"{target.project}/{target.environment}/{version.name}/{number}",
        project=target.project,
        name=version.name,
        created_at=now,
        number=number,
        source=source.environment,
        target=target.environment,
        workflow=workflow.name,
        version=version.number,
        bundle=version.bundle,
        endpoint=endpoint,
        stages=tuple(PromotionStage(name=name) for name in names),
        actor=target.actor,
        updated_at=now,
        reason=reason,
    )
    return keep(places, begun, verb="promotions.start")


def _still_holds(target: Workspace, promotion: Promotion) -> bool:
    """Whether a promotion that was done is still what it came to: its bytes are named by its environment."""
    number = registry.aliases(target, promotion.name).get(promotion.target)
    if number is None:
        return "registry" not in [stage.name for stage in promotion.stages]
    return registry.get(target, promotion.name, number).bundle == promotion.bundle


def _set(places: Sequence[Workspace], promotion: Promotion, stage: PromotionStage) -> Promotion:
    timed = msgspec.structs.replace(stage, at=places[0].clock.now())
    after = moved(promotion, timed)
    verb = "promotions.end" if after.state == "done" else "promotions.stage"
    return keep(places, after, verb=verb)


def _through(way: Way, stage: Stage, places: Sequence[Workspace]) -> Promotion:
    """The promotion after one stage of it, written down whatever came of it."""
    name = name_of(stage)
    try:
        came = _carried_out(way, stage)
    except SlipwayError as problem:
        _set(places, way.promotion, PromotionStage(name=name, state="failed", sentence=str(problem)))
        raise
    way.target.say(f"{name}: {came.sentence}")
    told = PromotionStage(
        name=name,
        state=came.state,
        sentence=came.sentence,
        asked=came.asked,
        consulted=came.consulted,
        informed=came.informed,
        command=came.command,
        replay=came.replay,
    )
    after = _set(places, _with_number(way, way.promotion), told)
    if came.problem is not None:
        raise came.problem
    return after


def _with_number(way: Way, promotion: Promotion) -> Promotion:
    if promotion.arrived:
        return promotion
    there = arrived(way)
    return msgspec.structs.replace(promotion, arrived=there.number) if there else promotion


def _carried_out(way: Way, stage: Stage) -> Came:
    if isinstance(stage, str):
        return STAGES[stage](way)
    version, name = way.here, name_of(stage)
    status = way.target.launcher.status(folder_of(way.target, way.promotion.endpoint))
    told = Promoted(
        model=version.name,
        version=version.number,
        bundle=version.bundle,
        manifest=registry.bundle_of(way.target, version),
        environment=way.target.environment,
        endpoint=way.promotion.endpoint,
        url=status.url if status else "",
    )
    try:
        sentence = stage(told)
    except SlipwayError:
        raise
    except Exception as problem:
        raise StepFailed(
            f"The stage {name!r} objects to {version.name} {version.number}: {type(problem).__name__}: {problem}",
            step=name,
            trace=user_trace(problem),
            fix="Mend what it found, and give the same command again.",
        ) from problem
    if not isinstance(sentence, str) or not sentence.strip():
        raise StepFailed(
            f"The stage {name!r} returned {sentence!r}.", step=name, fix="Return a sentence that says what it found."
        )
    return Came(sentence=sentence)


@contextmanager
def _alone(target: Workspace, model: str) -> Iterator[None]:
    """Hold a model's promotions into a store; the system frees them with the process, however that ends."""
    folder = target.root / "promotions"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{target.project}-{model}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Somebody else is promoting {model!r} to {target.environment} now.",
                fix=f"See where it stands: slipway promote {model} --to {target.environment} --status",
            ) from None
        yield
