"""Behind a model: a declared fallback as a revision of one version names it, after a look whether all of it can answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slipway.errors import InvalidDeclaration, NotFound, near
from slipway.flows.contracts import request_fields
from slipway.ledger import entries
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Contract, FallbackSpec, Revision, Served, Way
from slipway.records.models import Bundle
from slipway.records.schema import Field

__all__ = ["fallback_for"]


def fallback_for(
    workspace: Workspace, bundle: Bundle, served: Served, contract: Contract, declared: DeclaredEndpoint
) -> FallbackSpec | None:
    """A declared fallback as a revision of a version names it: which earlier version it is, and that all of it can answer.

    Args:
        workspace: Whose endpoint.
        bundle: Of the version.
        served: The version.
        contract: Under which it would serve.
        declared: The endpoint.

    Raises:
        NotFound: A version that is named by its number does not exist.
        InvalidDeclaration: A rule, that version or the endpoint needs what requests or the model do not have.
    """
    spec = declared.fallback
    if spec is None:
        return None
    inputs = [field.name for field in bundle.signature.inputs]
    if lacking := [name for name in spec.required if name not in inputs]:
        raise InvalidDeclaration(
            f"The fallback of {declared.name!r} requires {lacking[0]!r}, which is no input of "
            f"{served.model} {served.number}.",
            fix=near(lacking[0], inputs, what="inputs"),
        )
    ways = [_resolved(workspace, way, bundle, served, contract, declared) for way in spec.ways]
    found = tuple(way for way in ways if way is not None)
    return msgspec.structs.replace(spec, ways=found) if found else None


def _resolved(
    workspace: Workspace, way: Way, bundle: Bundle, served: Served, contract: Contract, declared: DeclaredEndpoint
) -> Way | None:
    """One way for one revision, None where there is no earlier version yet that could answer."""
    who = f"The fallback of {declared.name!r}"
    if way.rule is not None:
        if why := _misfit(way.rule.function.arguments, contract.fields):
            raise InvalidDeclaration(
                f"{who}, the rule {way.rule.function.name!r}, {why}.",
                why=near("", [field.name for field in contract.fields], what="fields"),
                fix="Let its arguments be fields of the request.",
            )
        return way
    if way.by != "version":
        return way
    earlier = _before(workspace, declared.name, served) if way.number == 0 else None
    if way.number:
        version = registry.get(workspace, served.model, str(way.number))
        earlier = Served(model=version.name, number=version.number, bundle=version.bundle)
        if earlier.bundle == served.bundle:
            workspace.say(f"{who}: version {way.number} is what serves; it does not stand in for itself.")
            return None
    if earlier is None:
        workspace.say(f"{who}: no version served before {served.model} {served.number}, so none stands in for it yet.")
        return None
    theirs = registry.bundle_of(workspace, registry.get(workspace, earlier.model, str(earlier.number)))
    why = _misfit(request_fields(theirs), contract.fields)
    if not why and theirs.task != bundle.task:
        why = f"answers {theirs.task}, and {served.model} {served.number} {bundle.task}"
    if why and way.number:
        raise InvalidDeclaration(
            f"{who}, {earlier.model} {earlier.number}, {why}.", fix="Name a version that takes the same requests."
        )
    if why:
        workspace.say(f"{who}: {earlier.model} {earlier.number} {why}, so it does not stand in.")
        return None
    return msgspec.structs.replace(way, served=earlier)


def _before(workspace: Workspace, name: str, served: Served) -> Served | None:
    """What served an endpoint before a version, as far as it is still in the registry."""
    with workspace.ledger.read() as tx:
        id = tx.ref(workspace.project, "endpoint", name)
        present = entries.get(tx, Revision, id) if id else None
    if present is None:
        return None
    if present.served.bundle != served.bundle:
        found = [present.served]
    else:
        found = [one for one in (present.fallback.served if present.fallback else ()) if one.bundle != served.bundle]
    for one in found:
        try:
            registry.get(workspace, one.model, str(one.number))
        except NotFound:
            continue
        return one
    return None


def _misfit(wanted: Sequence[Field], given: Sequence[Field]) -> str:
    """Why a request's fields are not enough, "" where they are."""
    types = {field.name: field.type for field in given}
    for field in wanted:
        if field.name not in types:
            return f"needs {field.name!r}, which is no field of a request"
        if _plain(field.type) != _plain(types[field.name]) and (field.type, types[field.name]) != ("float", "int"):
            return f"takes {field.name!r} as {field.type}, and a request has it as {types[field.name]}"
    return ""


def _plain(type: str) -> str:
    return "string" if type == "category" else type
