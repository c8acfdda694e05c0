"""In which environment a version serves: the endpoint's own interpreter where that has what the version's lock names.

Otherwise an environment is made from the lock before anything is published, so that it is there when workers need it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slipway.errors import Conflict, Corrupt, InvalidInput, MissingExtra, NotFound
from slipway.flows.endpoints import folder_of
from slipway.ledger import locks
from slipway.models import registry
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import FallbackSpec, Revision
from slipway.records.locks import Lock
from slipway.records.models import ModelVersion
from slipway.serving.interpreter import installed, read_base

__all__ = ["environment_of", "with_environments"]


def with_environments(workspace: Workspace, draft: Revision, versions: Sequence[ModelVersion]) -> Revision:
    """A draft whose models name the environments in whose workers they answer; these are made now, or found.

    Args:
        workspace: Whose endpoint.
        draft: The revision without number.
        versions: What serves, and the challenger if there is one.

    Raises:
        Conflict: A version that the fallback names needs another environment than what serves.
    """
    environment = environment_of(workspace, draft.name, versions[0])
    served = msgspec.structs.replace(draft.served, environment=environment)
    draft = msgspec.structs.replace(draft, served=served, fallback=_in_same(workspace, draft, versions[0], environment))
    if draft.challenger is None:
        return draft
    arms = []
    for rival, second in zip(draft.challengers, versions[1:], strict=True):
        # In another environment than what serves, the workers start a process there and ask it.
        other = environment_of(workspace, draft.name, second)
        arms.append(msgspec.structs.replace(rival, served=msgspec.structs.replace(rival.served, environment=other)))
    return msgspec.structs.replace(draft, challenger=arms[0], beside=tuple(arms[1:]))


def _in_same(workspace: Workspace, draft: Revision, serves: ModelVersion, environment: str) -> FallbackSpec | None:
    """A draft's fallback without an earlier version that cannot answer in the workers of what serves: it is asked there."""
    spec = draft.fallback
    if spec is None:
        return None
    ways = []
    for way in spec.ways:
        if way.served is None:
            ways.append(way)
            continue
        earlier = registry.get(workspace, way.served.model, str(way.served.number))
        if _shares(workspace, draft.name, serves, earlier, environment):
            ways.append(
                msgspec.structs.replace(way, served=msgspec.structs.replace(way.served, environment=environment))
            )
            continue
        said = (
            f"The fallback of {draft.name!r}: {earlier.name} {earlier.number} needs other versions of libraries than "
            f"{serves.name} {serves.number}"
        )
        if way.number:
            raise Conflict(
                f"{said}, and would be asked in the same process.",
                fix="Name a version that was trained with the same libraries, or let a rule or a value stand in.",
            )
        workspace.say(f"{said}, so it does not stand in.")
    return msgspec.structs.replace(spec, ways=tuple(ways)) if ways else None


def _shares(workspace: Workspace, endpoint: str, serves: ModelVersion, earlier: ModelVersion, environment: str) -> bool:
    """Whether an earlier version has the environment in which another one serves."""
    lock = _lock_of(workspace, earlier)
    return lock == _lock_of(workspace, serves) or (not environment and not _lacks(workspace, endpoint, lock))


def environment_of(workspace: Workspace, endpoint: str, version: ModelVersion) -> str:
    """The lock of the environment in whose workers a version answers at an endpoint, "" for the endpoint's own.

    Where it cannot be made, the version is served by the endpoint's own interpreter, which is said: a worker still
    refuses a model that does not answer as it did when it was packaged.
    """
    lock = _lock_of(workspace, version)
    lacks = _lacks(workspace, endpoint, lock)
    if lock is None or not lacks:
        return ""
    try:
        made = isolation.made(workspace, isolation.to_serve(workspace, lock))
    except (MissingExtra, NotFound, InvalidInput, Corrupt) as problem:
        workspace.say(
            f"{version.name} {version.number} was trained with {lacks}. An environment of its own cannot be made, so it "
            f"serves with what is here, if it answers there as it did. {problem}"
        )
        return ""
    workspace.say(f"{version.name} {version.number} serves in an environment of its own: it was trained with {lacks}.")
    return made.lock


def _lock_of(workspace: Workspace, version: ModelVersion) -> Lock | None:
    try:
        return locks.lock_of(workspace.blobs, registry.bundle_of(workspace, version).environment)
    except NotFound:
        return None


def _lacks(workspace: Workspace, endpoint: str, lock: Lock | None) -> str:
    """What keeps the endpoint's own interpreter from being what a lock names, "" for nothing."""
    if lock is None:
        return ""
    folder = folder_of(workspace, endpoint)
    base = read_base(folder) if workspace.launcher.status(folder) is not None else None
    return (base or installed()).lacks(lock, besides=locks.RUNTIME)
