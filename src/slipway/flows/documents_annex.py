"""A draft of a model's technical documentation after Annex IV of the EU AI Act, as far as evidence and answers carry it.

It says what the nine points of the annex ask, in own words, and holds no legal advice. Source: Regulation (EU) 2024/1689,
Annex IV (https://eur-lex.europa.eu/eli/reg/2024/1689/oj).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slipway.flows.documents_asked import Asking
from slipway.flows.documents_card import asking, responsible
from slipway.flows.documents_evidence import Known, gather
from slipway.flows.documents_live import contracts, findings, incidents, load, retrained, served, verdict, watched
from slipway.models import registry
from slipway.models.card import packed_sections
from slipway.models.decision_words import price_in_words
from slipway.ports.workspace import Workspace
from slipway.records.documents import MODEL_QUESTIONS, Document, DocumentField, DocumentSection, filled, lacking

__all__ = ["annex"]

_CHANGES = 20


def annex(workspace: Workspace, name: str, version: str) -> Document:
    """The draft for a version as it is now.

    Raises:
        NotFound: There is no such model or version.
        InvalidInput: The version has no bundle.
    """
    known = gather(workspace, name, version)
    ask = asking(workspace, "annex-iv", known)
    told = {field.name: field for part in packed_sections(known.bundle, known.node) for field in part.fields}
    parts: dict[str, Callable[[], Iterator[DocumentField]]] = {
        "1. The system in general": lambda: _general(known, ask, told),
        "2. Its elements and how it came about": lambda: _elements(known, ask, told, workspace.environment),
        "3. Monitoring, functioning and control": lambda: _control(known, ask, told),
        "4. Whether the metrics fit": lambda: _metrics(known, told),
        "5. Managing risks": lambda: _risks(known, ask),
        "6. Changes through its life": lambda: _changes(workspace, known),
        "7. Standards that were applied": lambda: _standards(),
        "8. The declaration of conformity": lambda: _declaration(),
        "9. Watching it after it is on the market": lambda: _watching(known),
    }
    return Document(
        kind="annex-iv",
        name=known.version.name,
        version=known.version.number,
        title=f"Technical documentation of {known.version.name} {known.version.number} (draft)",
        lead="A draft after Annex IV of Regulation (EU) 2024/1689. Whether the system is one of high risk, people decide.",
        sections=tuple(DocumentSection(title=title, fields=tuple(make())) for title, make in parts.items()),
        simulated=known.bundle.simulated,
    )


def _general(known: Known, ask: Asking, told: dict[str, DocumentField]) -> Iterator[DocumentField]:
    yield ask.field(MODEL_QUESTIONS["purpose"], "Intended purpose")
    yield ask.field(MODEL_QUESTIONS["owner"], "Provider, or who answers for it")
    version = known.version
    text = f"{version.name}, version {version.number} of {version.created_at:%Y-%m-%d}; bundle {version.bundle}."
    yield filled(
        "version", "Name and version", text, evidence=[f"model:{version.id}", known.node], at=version.created_at
    )
    yield served(known)
    yield ask.field(MODEL_QUESTIONS["users"], "Who uses it")
    rows = [(one.name, ", ".join(field.name for field in one.contract.fields)) for one in known.serving.values()]
    if rows:
        nodes = [f"revision:{one.id}" for one in known.serving.values()]
        yield filled("contract_fields", "How it is asked", head=("endpoint", "fields"), rows=rows, evidence=nodes)
    else:
        fix = f"slipway deploy {version.name}"
        yield lacking("contract_fields", "How it is asked", "Nothing serves yet.", fix=fix, role="ml engineer")
    yield told["environment"]


def _elements(known: Known, ask: Asking, told: dict[str, DocumentField], environment: str) -> Iterator[DocumentField]:
    run = known.run
    if run is not None:
        items = [f"{key} = {value}" for key, value in sorted(run.params.items())]
        text = f"The pipeline {run.pipeline or run.name or 'of the project'}, started by {run.actor}."
        yield filled("method", "How it was made", text, items=items, evidence=[f"run:{run.id}"], at=run.created_at)
    else:
        fix = "Ask in the store that it was promoted from."
        yield lacking("method", "How it was made", "The run that made it is not known here.", fix=fix)
    for name in (
        "type",
        "code",
        "inputs",
        "features",
        "decision",
        "tables",
        "measures",
        "quality",
        "slices",
        "explained",
    ):
        if name in told:
            yield told[name]
    yield ask.field(MODEL_QUESTIONS["oversight"])
    yield verdict(known, environment)
    version = known.version
    text = "Each file is named by its digest in a signed manifest; an endpoint loads nothing else."
    yield filled("security", "Integrity", text, evidence=[known.node], at=version.created_at)


def _control(known: Known, ask: Asking, told: dict[str, DocumentField]) -> Iterator[DocumentField]:
    yield told["found_limits"]
    yield ask.field(MODEL_QUESTIONS["limits"], "What it cannot do")
    yield ask.field(MODEL_QUESTIONS["harm"], "Foreseeable harm")
    decision = known.bundle.decision
    if known.declared and any(one.fallback for one in known.declared):
        names = ", ".join(one.name for one in known.declared if one.fallback)
        nodes = [f"endpoint:{one.id}" for one in known.declared]
        yield filled("fallback", "When it fails", f"A fallback answers at {names}.", evidence=nodes)
    else:
        fix = "Declare one: sw.Endpoint(..., fallback=...), or answer the oversight question with why none is needed."
        yield lacking("fallback", "When it fails", "No fallback answers in its place.", fix=fix, role="ml engineer")
    if decision.is_price:
        text = f"Answers are kept within limits: {price_in_words(decision)}."
        yield filled("limits_of_answers", "Limits of an answer", text, evidence=[known.node])
    yield load(known)


def _metrics(known: Known, told: dict[str, DocumentField]) -> Iterator[DocumentField]:
    if "uncertainty" in told:
        yield told["uncertainty"]
    yield contracts(known)


def _risks(known: Known, ask: Asking) -> Iterator[DocumentField]:
    yield ask.field(MODEL_QUESTIONS["misuse"], "Misuse that can be foreseen")
    yield responsible(known)
    yield incidents(known)


def _changes(workspace: Workspace, known: Known) -> Iterator[DocumentField]:
    versions = registry.versions(workspace, known.version.name)
    older = [one for one in versions if one.number <= known.version.number]
    rows = [
        (str(one.number), f"{one.created_at:%Y-%m-%d}", str(one.actor), ", ".join(one.aliases))
        for one in older[:_CHANGES]
    ]
    text = f"The newest {_CHANGES} of {len(older):,}." if len(older) > _CHANGES else ""
    head = ("version", "on", "by", "aliases")
    nodes = [f"model:{one.id}" for one in older[:_CHANGES]]
    yield filled("versions", "Versions", text, head=head, rows=rows, evidence=nodes)
    yield retrained(known)


def _standards() -> Iterator[DocumentField]:
    fix = "Write the list beside this draft: which harmonised standards were applied, or what was done in their place."
    text = "Nothing in the store tells which standards were applied."
    yield lacking("standards", "Standards", text, fix=fix, role="governance")


def _declaration() -> Iterator[DocumentField]:
    fix = "Whoever places the system on the market draws it up and signs it; keep a copy beside this draft."
    text = "The declaration is a paper that a person signs."
    yield lacking("declaration", "EU declaration of conformity", text, fix=fix, role="governance")


def _watching(known: Known) -> Iterator[DocumentField]:
    yield watched(known)
    yield findings(known)
