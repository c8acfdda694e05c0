"""A table's data sheet: what its versions, checks and profiles tell, and what people answered.

The parts are those of Gebru et al., "Datasheets for Datasets" (https://arxiv.org/abs/1803.09010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slipway.data.browse import profile_table
from slipway.flows.documents_asked import Asking
from slipway.governance.raci import declared_raci
from slipway.ledger import answers, publications
from slipway.models import registry
from slipway.operations.table_checks import GetProfile, Profile
from slipway.operations.tables import GetTable
from slipway.ports.workspace import Workspace
from slipway.records.documents import TABLE_QUESTIONS, Document, DocumentField, DocumentSection, filled, lacking
from slipway.records.responsibility import Raci
from slipway.records.sharing import EVERYBODY, Publication
from slipway.records.tables import TableVersion
from slipway.tables.browse import get_table
from slipway.tables.catalog import node

__all__ = ["datasheet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """All that the sheet is made of.

    Args:
        version: Which one it tells of.
        versions: All of the table's, newest first.
        profile: Of the version, None where none was made.
        models: Models whose newest version learned from the table, as "NAME NUMBER".
        shared: The editions in which it is offered to other projects.
        raci: Who answers for what, None where nobody said.
        node: The version's, in the lineage.
        ask: Makes the fields that people answer.
    """

    version: TableVersion
    versions: tuple[TableVersion, ...]
    profile: Profile | None
    models: tuple[str, ...]
    shared: tuple[Publication, ...]
    raci: Raci | None
    node: str
    ask: Asking


def datasheet(workspace: Workspace, name: str, version: str) -> Document:
    """The sheet of a table's version as it is now.

    Raises:
        NotFound: There is no such table or version.
        Denied: The table names its readers, and the actor is none.
    """
    known = _gather(workspace, name, version)
    found = known.version
    parts = {
        "Motivation": _motivation,
        "Composition": _composition,
        "Collection": _collection,
        "Preprocessing and cleaning": _preprocessing,
        "Uses": _uses,
        "Distribution": _distribution,
        "Maintenance": _maintenance,
    }
    simulated = (name,) if found.about.origin else ()
    return Document(
        kind="datasheet",
        name=name,
        version=found.number,
        title=f"Data sheet of {name} {found.number}",
        lead=found.about.description or f"The table {name}.",
        sections=tuple(DocumentSection(title=title, fields=tuple(make(known))) for title, make in parts.items()),
        simulated=simulated,
    )


def _gather(workspace: Workspace, name: str, version: str) -> _Known:
    found = get_table(workspace, GetTable(name=name, version=version)).versions[0]
    versions = get_table(workspace, GetTable(name=name)).versions
    profile = None
    if found.profile and found.cleaned_at is None:
        profile = profile_table(workspace, GetProfile(name=name, version=found.version))
    models = []
    own = f"table:{workspace.project}/{name}@"
    for model in registry.names(workspace):
        newest = registry.versions(workspace, model)[:1]
        for one in newest:
            if any(data.startswith(own) for data in registry.bundle_of(workspace, one).data):
                models.append(f"{model} {one.number}")
    with workspace.ledger.read() as tx:
        given = answers.answers(tx, workspace.project, f"table:{name}")
        shared = [one for one in publications.every(tx, workspace.project) if name in (one.table, one.name)]
        raci = declared_raci(tx, workspace)
    first = versions[-1]
    ask = Asking(
        "datasheet",
        name,
        given,
        now=workspace.clock.now(),
        # Rows that come do not change what a table is: its columns do.
        since=max((one.created_at for one in versions if one.change == "alter"), default=first.created_at),
        version="its columns were changed, or the table",
    )
    return _Known(
        version=found,
        versions=versions,
        profile=profile,
        models=tuple(models),
        shared=tuple(one for one in shared if one.state == "published"),
        raci=raci,
        node=node(workspace.project, name, found.version),
        ask=ask,
    )


def _motivation(known: _Known) -> Iterator[DocumentField]:
    yield known.ask.field(TABLE_QUESTIONS["motivation"])
    about = known.version.about
    if about.description:
        yield filled("description", "What it holds", about.description, evidence=[known.node])
    else:
        fix = "Write it: the docstring of the function below @sw.table, or description=."
        yield lacking("description", "What it holds", "Its declaration does not say.", fix=fix, role="data engineer")
    if about.owner:
        yield filled("owner", "Owner", f"{about.owner}, as its declaration says.", evidence=[known.node])
    else:
        fix = '@sw.table(owner="..."), or [raci.data] in slipway.toml.'
        row = next((one for one in known.raci.rows if one.stage == "data"), None) if known.raci else None
        if row is not None and known.raci is not None and (row.responsible or row.accountable):
            text = f"Responsible for data: {', '.join(row.responsible) or 'nobody'}; accountable: "
            text += f"{', '.join(row.accountable) or 'nobody'}."
            yield filled("owner", "Owner", text, evidence=[f"raci:{known.raci.id}"], at=known.raci.created_at)
        else:
            yield lacking("owner", "Owner", "Nobody is named.", fix=fix, role="data engineer")


def _composition(known: _Known) -> Iterator[DocumentField]:
    version, about = known.version, known.version.about
    until = f", with events until {version.data_until:%Y-%m-%d %H:%M} UTC" if version.data_until else ""
    text = f"Version {version.number} has {version.rows:,} rows{until}."
    yield filled("rows", "Rows", text, evidence=[known.node], at=version.created_at)
    summaries = {one.name: one for one in known.profile.columns} if known.profile else {}
    rows = []
    for field in version.fields:
        summary = summaries.get(field.name)
        empty = "" if summary is None or not version.rows else f"{summary.nulls / version.rows:.1%}"
        personal = "personal" if field.name in about.personal else ""
        rows.append((field.name, field.type, empty, personal))
    head = ("column", "type", "missing", "")
    yield filled("columns", "Columns", head=head, rows=rows, evidence=[known.node])
    text = "" if about.personal else "No column is declared as personal."
    yield filled("personal", "Personal columns", text, items=about.personal, evidence=[known.node])
    text = "A program made the rows up." if about.origin else "Its declaration says nothing of made-up rows."
    yield filled("made_up", "Made up or real", text, evidence=[known.node])
    yield _checks(known)


def _checks(known: _Known) -> DocumentField:
    checks = known.version.checks
    if not checks:
        fix = '@sw.table(checks=[sw.unique("..."), ...])'
        return lacking("checks", "Checks", "It declares no checks.", fix=fix, role="data engineer")
    rows = []
    for one in checks:
        state = (
            "cannot tell" if one.undecided else "passed" if one.passed else f"{one.failed_rows:,} of {one.rows:,} fail"
        )
        rows.append((one.check, state, one.severity, f"{one.set_aside:,}" if one.set_aside else ""))
    head = ("check", "found", "severity", "set aside")
    return filled("checks", "Checks", head=head, rows=rows, evidence=[known.node], at=known.version.created_at)


def _collection(known: _Known) -> Iterator[DocumentField]:
    version = known.version
    text = version.synced.place if version.synced else version.source
    yield filled("source", "Where rows come from", text or "The project's own code.", evidence=[known.node])
    yield known.ask.field(TABLE_QUESTIONS["collection"])
    yield known.ask.field(TABLE_QUESTIONS["consent"])


def _preprocessing(known: _Known) -> Iterator[DocumentField]:
    shown = known.versions[:12]
    rows = [
        (
            str(one.number),
            f"{one.created_at:%Y-%m-%d}",
            one.change,
            f"{one.added_rows:,}",
            f"{one.changed_rows:,}",
            f"{one.removed_rows:,}",
            f"{one.quarantined_rows:,}",
        )
        for one in shown
    ]
    more = f"The newest 12 of {len(known.versions):,} versions." if len(known.versions) > len(shown) else ""
    head = ("version", "on", "change", "added", "changed", "removed", "set aside")
    yield filled("versions", "What was done to it", more, head=head, rows=rows, evidence=[known.node])


def _uses(known: _Known) -> Iterator[DocumentField]:
    if known.models:
        yield filled("models", "Models that learned from it", items=known.models, evidence=[known.node])
    else:
        text = "The newest version of no model here did."
        yield filled("models", "Models that learned from it", text, evidence=[known.node])
    yield known.ask.field(TABLE_QUESTIONS["misuse"])


def _distribution(known: _Known) -> Iterator[DocumentField]:
    readers = known.version.about.readers
    text = f"Only these may read it: {', '.join(readers)}." if readers else "Whoever may read tables of the project."
    yield filled("readers", "Who may read it", text, evidence=[known.node])
    items = []
    for one in known.shared:
        whom = "every project" if EVERYBODY in one.readers else ", ".join(one.readers)
        items.append(f"{one.name} {one.number}, for {whom}")
    text = "" if items else "With no other project."
    nodes = [f"publication:{one.id}" for one in known.shared] or [known.node]
    yield filled("shared", "Shared", text, items=items, evidence=nodes)
    yield known.ask.field(TABLE_QUESTIONS["license"])


def _maintenance(known: _Known) -> Iterator[DocumentField]:
    first, newest = known.versions[-1], known.versions[0]
    text = f"{len(known.versions):,} versions from {first.created_at:%Y-%m-%d} to {newest.created_at:%Y-%m-%d}."
    old = newest.number != known.version.number
    yield filled(
        "history",
        "Versions",
        text,
        evidence=[known.node],
        at=newest.created_at,
        stale=f"This sheet is of version {known.version.number}; version {newest.number} is current." if old else "",
        fix=f"slipway documents show datasheet {known.version.name}" if old else "",
    )
    gone = [(one, each) for one in known.versions for each in one.erased]
    items = [f"{each.rows:,} rows of version {one.number} on {each.at:%Y-%m-%d}: {each.reason}" for one, each in gone]
    nodes = sorted({f"erasure:{each.erasure}" for _, each in gone}) or [known.node]
    yield filled("erased", "Erased rows", "" if items else "None.", items=items, evidence=nodes)
    yield known.ask.field(TABLE_QUESTIONS["upkeep"])
