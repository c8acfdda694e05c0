"""Which models stand on what: of each model the newest version and those that serve, with all that they read.

What a model reads of which column was written down with its training set, and which tables its run opened with the run,
so no project's code is needed to tell. Inside this file a table is always `<project>/<table>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from slipway.features.column_lineage import REQUEST
from slipway.features.specs import features_of
from slipway.flows.trained_on import training_of, training_set_of
from slipway.ledger import entries
from slipway.models.numbered import run_stayed, versions_in
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision, Served
from slipway.records.features import FeatureSetSpec, Part, Scalar, TrainingSet, View, Windows
from slipway.records.models import ModelVersion
from slipway.records.projects import Project
from slipway.records.runs import Run
from slipway.records.sharing import Publication

__all__ = ["KnownModel", "known_model", "known_models", "projects_of"]

_AT_MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model version, what it was trained on, and where it serves.

    Args:
        version: The version.
        training: Its training set; None where it has none of features.
        endpoints: The endpoints that answer with it now.
        inputs: What its run read, as lineage nodes.
        borrowed: The features that another project shares, with that project.
    """

    version: ModelVersion
    training: TrainingSet | None
    endpoints: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    borrowed: Mapping[str, str] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features, in order."""
        return tuple(field.name for field in self.training.spec.features) if self.training else ()

    def identity(self, feature: str) -> str:
        """A feature's name over all projects: `<project that defines it>/<feature>`."""
        return f"{self.borrowed.get(feature, self.version.project)}/{feature}"

    def means(self, feature: str) -> frozenset[str]:
        """The identities by which somebody may mean a feature: its own, and that of the view it is a column of."""
        own = self.identity(feature)
        owner = own.partition("/")[0]
        views = {f"{owner}/{part.name}" for part in self._parts(feature) if isinstance(part, View)}
        return frozenset({own, *views})

    def columns(self, feature: str) -> tuple[str, ...]:
        """What a feature's value depends on: `<project>/<table>.<column>`, and `request.<field>`.

        A training set takes the fields of a request from its label table, so the columns there that have their names
        are among them.
        """
        if self.training is None:
            return ()
        read = self.training.reads.get(feature, ())
        carried = {field.name for field in self.training.columns}
        asked = [column.partition(".")[2] for column in read if column.startswith(f"{REQUEST}.")]
        found = {column if column.startswith(f"{REQUEST}.") else self._whole(column) for column in read}
        return tuple(sorted(found | {f"{self._labels}.{name}" for name in asked if name in carried}))

    def sources(self, feature: str) -> tuple[str, ...]:
        """The tables that its windows or view look back on; of a shared view that in which its owner keeps the rows."""
        parts = self._parts(feature)
        named = [part.source for part in parts if isinstance(part, Windows)]
        named += [source for part in parts if isinstance(part, View) for source in part.sources]
        return tuple(self._whole(table) for table in named)

    @property
    def taught(self) -> tuple[str, ...]:
        """The columns of its label table that taught it besides features: the label, and when it was decided and known."""
        if self.training is None:
            return ()
        names = (self.training.label, self.training.at, self.training.known)
        return tuple(f"{self._labels}.{name}" for name in dict.fromkeys(names) if name)

    @property
    def beside(self) -> tuple[str, ...]:
        """The tables that its run read and that are nothing of its training set: which columns of them, nobody knows."""
        read = dict.fromkeys(node.removeprefix("table:").rpartition("@")[0] for node in self.inputs if _is_table(node))
        if self.training is None:
            return tuple(read)
        of = {self._labels, self.training.stored.removeprefix("table:").rpartition("@")[0]}
        for feature in self.features:
            of |= {*self.sources(feature), *(column.rpartition(".")[0] for column in self.columns(feature))}
            of |= {table for table in read for column in self.columns(feature) if column.startswith(f"{table}.")}
        return tuple(table for table in read if table not in of)

    def version_of(self, table: str) -> str:
        """The id of the version of a table that its run read, "" for none."""
        read = [node.removeprefix("table:") for node in self.inputs if _is_table(node)]
        return next((id for id in read if id.rpartition("@")[0] == table), "")

    def is_of(self, table: str) -> bool:
        """Whether it was made of a table, by whatever way."""
        return table in self._tables

    @property
    def _labels(self) -> str:
        """The label table."""
        assert self.training is not None
        return self.training.table.removeprefix("table:").rpartition("@")[0]

    @cached_property
    def _tables(self) -> frozenset[str]:
        found = {node.removeprefix("table:").rpartition("@")[0] for node in self.inputs if _is_table(node)}
        for feature in self.features:
            found |= {*self.sources(feature), *(column.rpartition(".")[0] for column in self.columns(feature))}
        return frozenset(found | ({self._labels} if self.training else set()))

    @cached_property
    def _owners(self) -> frozenset[str]:
        return frozenset(node.removeprefix("table:").partition("/")[0] for node in self.inputs if _is_table(node))

    def _whole(self, name: str) -> str:
        """A table or column as it is called over all projects: a column's own name may have a "/" in it."""
        owner, slash, _ = name.partition("/")
        return name if slash and owner in self._owners else f"{self.version.project}/{name}"

    def _parts(self, feature: str) -> tuple[Part, ...]:
        return _makers(self.training.spec, feature) if self.training else ()


def known_models(workspace: Workspace) -> list[KnownModel]:
    """Of each model of every project the newest version, and those that serve; newest first within a model."""
    found = []
    with workspace.ledger.read() as tx:
        for project in projects_of(tx):
            serving: dict[tuple[str, int], list[str]] = {}
            for endpoint, served in _serving(tx, project):
                serving.setdefault((served.model, served.number), []).append(endpoint)
            for name, id in sorted(tx.refs(project, "model").items()):
                newest = entries.get(tx, ModelVersion, id)
                if newest.state or not newest.bundle:  # deleted, or of a tracking client: the newest that can serve
                    others = [one for one in versions_in(tx, project, name) if one.bundle]
                    if not others:
                        continue
                    newest = others[0]
                numbers = {newest.number, *(number for model, number in serving if model == name)}
                for number in sorted(numbers, reverse=True):
                    one = newest if number == newest.number else _numbered(tx, newest, number)
                    found.append(known_model(workspace, tx, one, tuple(serving.get((name, number), ()))))
    return found


def known_model(
    workspace: Workspace, tx: ReadTransaction, version: ModelVersion, endpoints: tuple[str, ...]
) -> KnownModel:
    """One version with what its run left behind."""
    if not version.run_id:
        return KnownModel(version=version, training=None, endpoints=endpoints)
    if run_stayed(tx, version):  # it came from another store
        return KnownModel(version=version, training=training_of(workspace, version), endpoints=endpoints)
    run = entries.get(tx, Run, version.run_id)
    training = training_set_of(workspace, run)
    used = [node.removeprefix("publication:") for node in run.inputs if node.startswith("publication:")]
    shared = [entries.get(tx, Publication, id) for id in used] if training else []
    return KnownModel(
        version=version,
        training=training,
        endpoints=endpoints,
        inputs=run.inputs,
        borrowed=_borrowed(training.spec, shared) if training else {},
    )


def projects_of(tx: ReadTransaction) -> list[str]:
    """The names of the store's projects, sorted."""
    return sorted(project.name for project in entries.find(tx, Project, limit=_AT_MOST))


def _serving(tx: ReadTransaction, project: str) -> Iterator[tuple[str, Served]]:
    """Endpoints and what they answer with now."""
    for name, id in sorted(tx.refs(project, "endpoint").items()):
        revision = entries.get(tx, Revision, id)
        for served in revision.versions:
            yield name, served


def _numbered(tx: ReadTransaction, newest: ModelVersion, number: int) -> ModelVersion:
    (found,) = entries.find(tx, ModelVersion, project=newest.project, name=newest.name, number=number, limit=1)
    return found


def _borrowed(spec: FeatureSetSpec, shared: list[Publication]) -> dict[str, str]:
    """The features of a set that are what a publication defines, with the project that publishes it.

    A project may use a publication and have a feature of that name besides, so the definitions are compared.
    """
    found = {}
    for publication in shared:
        defined = [_without_module(part) for part in publication.parts]
        for part in spec.parts:
            if _without_module(part) in defined:
                found.update(dict.fromkeys((field.name for field in features_of(part)), publication.project))
    return found


def _without_module(part: Part) -> Part:
    """A borrowed function's module is named after its archive, not after its owner's module."""
    return msgspec.structs.replace(part, module="") if isinstance(part, Scalar) else part


def _makers(spec: FeatureSetSpec, feature: str) -> tuple[Part, ...]:
    return tuple(part for part in spec.parts if feature in {field.name for field in features_of(part)})


def _is_table(node: str) -> bool:
    return node.startswith("table:")
