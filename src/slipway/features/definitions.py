"""Definitions of features in the ledger: each distinct one of a name gets a number when a training set first uses it.

Inside a run that is when the run has finished: what fails defines nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import structs

from slipway.errors import NotFound, near
from slipway.features.likeness import likeness
from slipway.features.scalars import Feature
from slipway.features.sets import FeatureSet
from slipway.features.views import FeatureView
from slipway.features.windows import DeclaredWindows
from slipway.hashing import fingerprint
from slipway.ledger import entries, events
from slipway.ledger.run_log import current_run
from slipway.ledger.versions import next_number
from slipway.operations.declare import Empty
from slipway.operations.features import FeatureDetail, Features, GetFeature
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.features import AboutFeature, FeatureDefinition, FeatureSetSpec, Part, Scalar, View, Windows
from slipway.records.schema import Field

__all__ = ["DEFINED", "Defined", "definitions", "get_feature", "in_use", "keep_definitions", "list_features"]

DEFINED = "feature"
"""The kind of the references that say which definition of a name is the one in use."""

_ALL = 10_000


class Defined(NamedTuple):
    """One feature of a set: what a record of it holds besides its number."""

    name: str
    definition: str
    part: Part
    about: AboutFeature
    columns: tuple[Field, ...]
    sources: tuple[str, ...]
    likeness: str


def definitions(features: FeatureSet, spec: FeatureSetSpec) -> list[Defined]:
    """The scalar features, views and aggregates of a set, each by its own name.

    Request fields define nothing, and what another project shares is defined there.

    Args:
        features: The declarations.
        spec: What they are with the types of their tables.
    """
    types = {field.name: field for field in spec.features}
    about = _about(features)
    views, functions = features.views, features.functions
    found = []
    for part in spec.parts:
        if isinstance(part, Windows):
            for aggregate in part.aggregates:
                name = f"{part.name}_{aggregate.name}"
                if name not in about:
                    continue
                alone = structs.replace(part, aggregates=(aggregate,))
                found.append(_defined(name, alone, about[name], (types[name],), (part.source,)))
        elif isinstance(part, View) and part.name in about:
            columns = tuple(types[f"{part.name}_{field.name}"] for field in part.fields)
            found.append(_defined(part.name, part, about[part.name], columns, part.sources, views[part.name].function))
        elif isinstance(part, Scalar) and part.name in about:
            # Where the code lies is no part of what it says.
            kept = structs.replace(part, module="")
            found.append(_defined(part.name, kept, about[part.name], (types[part.name],), (), functions[part.name]))
    return found


def _defined(
    name: str,
    part: Part,
    about: AboutFeature,
    columns: tuple[Field, ...],
    sources: tuple[str, ...],
    function: Callable[..., Any] | None = None,
) -> Defined:
    return Defined(name, fingerprint(part), part, about, columns, sources, likeness(part, function))


def _about(features: FeatureSet) -> dict[str, AboutFeature]:
    found: dict[str, AboutFeature] = {}
    for part in features.parts:
        if isinstance(part, DeclaredWindows):
            found.update(dict.fromkeys(part.names, part.about))
        elif isinstance(part, Feature | FeatureView):
            found[part.name] = part.about
    return found


def keep_definitions(workspace: Workspace, features: FeatureSet, spec: FeatureSetSpec) -> None:
    """Keep the definitions of a set that are new, and which one of each name is in use now.

    Inside a run that is done when it has finished. Nothing is written where all are known and say the same of
    themselves, nor by a run that repeats another one.
    """
    run = current_run.get()
    if run is not None and run.is_repeat:
        return
    defined = definitions(features, spec)
    with workspace.ledger.read() as tx:
        used = in_use(tx, workspace.project)
        likenesses = {each.likeness for each in defined if each.name not in used}
        known = _like(tx, likenesses) if likenesses else []
    for each in defined:
        if each.name not in used:
            _point_out(workspace, each, known)
    if all(_is_kept(each, used.get(each.name)) for each in defined):
        return
    if run is not None:
        run.when_finished(lambda tx: _keep_all(tx, workspace, defined))
        return
    with workspace.ledger.write() as write:
        _keep_all(write, workspace, defined)


def _keep_all(tx: WriteTransaction, workspace: Workspace, defined: Iterable[Defined]) -> None:
    used = in_use(tx, workspace.project)
    for each in defined:
        if not _is_kept(each, used.get(each.name)):
            _keep(tx, workspace, each)


def _like(tx: ReadTransaction, likenesses: set[str]) -> list[FeatureDefinition]:
    """The definitions of all projects that compute one of these."""
    found = [one for one in entries.find(tx, FeatureDefinition, limit=_ALL) if one.likeness]
    return [one for one in found if one.likeness in likenesses]


def _point_out(workspace: Workspace, each: Defined, known: Iterable[FeatureDefinition]) -> None:
    for one in known:
        if one.likeness == each.likeness and (one.project, one.name) != (workspace.project, each.name):
            where = "" if one.project == workspace.project else f" of {one.project}"
            owner = f" ({one.about.owner})" if one.about.owner else ""
            workspace.say(
                f"The feature {each.name} computes what {one.name}{where}{owner} does: one of them is enough."
            )
            return


def _is_kept(each: Defined, record: FeatureDefinition | None) -> bool:
    return record is not None and (record.definition, record.about) == (each.definition, each.about)


def _keep(tx: WriteTransaction, workspace: Workspace, each: Defined) -> None:
    project = workspace.project
    known = _history(tx, project, each.name)
    former = next((record for record in known if record.definition == each.definition), None)
    number = former.number if former else next_number(tx, FeatureDefinition, project, each.name)
    record = FeatureDefinition(
        id=f"{project}/{each.name}@{number}",
        project=project,
        name=each.name,
        created_at=former.created_at if former else workspace.clock.now(),
        number=number,
        definition=each.definition,
        part=each.part,
        about=each.about,
        columns=each.columns,
        sources=each.sources,
        likeness=each.likeness,
    )
    entries.put(tx, record)
    tx.set_ref(project, DEFINED, each.name, record.id, expect=tx.ref(project, DEFINED, each.name))
    if former is None:
        events.record(tx, workspace, "features.define", f"feature:{record.id}", definition=each.definition)


def in_use(tx: ReadTransaction, project: str) -> Mapping[str, FeatureDefinition]:
    """The definition in use of each feature of a project, by name."""
    return {name: entries.get(tx, FeatureDefinition, id) for name, id in tx.refs(project, DEFINED).items()}


def _history(tx: ReadTransaction, project: str, name: str) -> list[FeatureDefinition]:
    found = entries.every(tx, FeatureDefinition, project=project, name=name)
    return sorted(found, key=lambda record: -record.number)


def list_features(workspace: Workspace, request: Empty) -> Features:
    """The definition in use of each feature, by name."""
    with workspace.ledger.read() as tx:
        found = in_use(tx, workspace.project)
    return Features(features=tuple(found[name] for name in sorted(found)))


def get_feature(workspace: Workspace, request: GetFeature) -> FeatureDetail:
    """All definitions that a feature has had, newest first.

    Raises:
        NotFound: No training set of the project has used a feature of this name.
    """
    with workspace.ledger.read() as tx:
        versions = _history(tx, workspace.project, request.name)
        refs = tx.refs(workspace.project, DEFINED)
    if not versions:
        raise NotFound(
            f"The project {workspace.project!r} has no feature {request.name!r}.",
            why=near(request.name, refs, what="features"),
            fix="Features are kept when a run that made a training set of them finishes; all: slipway features list",
        )
    number = next(record.number for record in versions if record.id == refs[request.name])
    return FeatureDetail(in_use=number, versions=tuple(versions))
