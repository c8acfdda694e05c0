"""A model's card: what its bundle tells, what came to be known since, and what people answered.

The parts are those of Mitchell et al., "Model Cards for Model Reporting" (https://arxiv.org/abs/1810.03993); the metadata
is what the Hugging Face Hub reads (https://huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from slipway.flows.documents_asked import Asking
from slipway.flows.documents_evidence import Known, gather
from slipway.flows.documents_live import (
    contracts,
    findings,
    incidents,
    load,
    reproduced,
    retrained,
    served,
    verdict,
    watched,
)
from slipway.models.card import lead, packed_sections
from slipway.ports.workspace import Workspace
from slipway.records.documents import (
    MODEL_QUESTIONS,
    Document,
    DocumentField,
    DocumentSection,
    filled,
    lacking,
)
from slipway.records.models import Bundle
from slipway.records.responsibility import STAGES

__all__ = ["asking", "card", "responsible"]

_PARTS = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)
_LIBRARIES = {"lightgbm": "lightgbm", "xgboost": "xgboost", "torch": "pytorch", "onnx": "onnx", "skops": "sklearn"}


def card(workspace: Workspace, name: str, version: str) -> Document:
    """The card of a version as it is now.

    Raises:
        NotFound: There is no such model or version.
        InvalidInput: The version has no bundle.
    """
    known = gather(workspace, name, version)
    packed = {part.title: part.fields for part in packed_sections(known.bundle, known.node)}
    ask = asking(workspace, "card", known)
    more: dict[str, Callable[[], Iterable[DocumentField]]] = {
        "Model details": lambda: _details(known, ask),
        "Intended use": lambda: _use(known, ask),
        "Metrics": lambda: [contracts(known)],
        "Evaluation data": lambda: [verdict(known, workspace.environment)],
        "Training data": lambda: _training(known),
        "Quantitative analyses": lambda: [load(known), findings(known), watched(known), reproduced(known)],
        "Ethical considerations": lambda: _ethics(known, ask),
        "Caveats and recommendations": lambda: _caveats(known, ask),
    }
    sections = [
        DocumentSection(title=part, fields=(*packed.get(part, ()), *more.get(part, tuple)())) for part in _PARTS
    ]
    return Document(
        kind="card",
        name=known.version.name,
        version=known.version.number,
        title=f"{known.version.name} {known.version.number}",
        lead=lead(known.bundle),
        sections=tuple(sections),
        metadata=_metadata(known),
        simulated=known.bundle.simulated,
    )


def asking(workspace: Workspace, kind: str, known: Known) -> Asking:
    """What makes the fields of a document of a model that people answer."""
    return Asking(
        "annex-iv" if kind == "annex-iv" else "card",
        known.version.name,
        known.answers,
        now=workspace.clock.now(),
        since=known.version.created_at,
        version=f"version {known.version.number}",
    )


def _details(known: Known, ask: Asking) -> Iterator[DocumentField]:
    version = known.version
    aliases = f", called {', '.join(version.aliases)}" if version.aliases else ""
    text = f"Version {version.number}{aliases}, registered {version.created_at:%Y-%m-%d} by {version.actor}."
    yield filled("version", "Version", text, evidence=[f"model:{version.id}"], at=version.created_at)
    text = f"Bundle {version.bundle}, signed (Ed25519) over the digest of each of its {len(known.bundle.files)} files."
    yield filled("bundle", "Bundle and signature", text, evidence=[known.node], at=version.created_at)
    if known.run is None:
        fix = "Ask in the store that it was promoted from." if version.made_by else "Release it from a pipeline."
        yield lacking("parameters", "Parameters", "The run that made it is not known here.", fix=fix)
    else:
        items = [f"{key} = {value}" for key, value in sorted(known.run.params.items())]
        text = "" if items else "The pipeline takes none."
        node = f"run:{known.run.id}"
        yield filled("parameters", "Parameters", text, items=items, evidence=[node], at=known.run.created_at)
    yield responsible(known)
    yield ask.field(MODEL_QUESTIONS["owner"])
    yield ask.field(MODEL_QUESTIONS["license"])


def responsible(known: Known) -> DocumentField:
    """Who answers for which stage, by the RACI."""
    title = "Who answers for what"
    if known.raci is None or not known.raci.rows:
        fix = "Write [raci.default] into slipway.toml and run the project."
        return lacking("responsible", title, "slipway.toml does not say.", fix=fix, role="business owner")
    rows = sorted(known.raci.rows, key=lambda row: STAGES.index(row.stage))
    return filled(
        "responsible",
        title,
        head=("stage", "responsible", "accountable"),
        rows=[(row.stage, ", ".join(row.responsible), ", ".join(row.accountable)) for row in rows],
        evidence=[f"raci:{known.raci.id}"],
        at=known.raci.created_at,
    )


def _use(known: Known, ask: Asking) -> Iterator[DocumentField]:
    for question in ("purpose", "users", "misuse"):
        yield ask.field(MODEL_QUESTIONS[question])
    if known.scopes:
        items = [f"{one.terms.decision} Wanted by {one.terms.owner}." for one in known.scopes]
        nodes = [f"scope:{one.id}" for one in known.scopes]
        at = max(one.updated_at for one in known.scopes)
        yield filled("scope", "The decision it is wanted for", items=items, evidence=nodes, at=at)
    else:
        text, fix = "No scope says.", f"Write it down: slipway scope new {known.version.name}"
        yield lacking("scope", "The decision it is wanted for", text, fix=fix, role="business owner")
    yield served(known)


def _training(known: Known) -> Iterator[DocumentField]:
    training = known.training
    if training is not None:
        span = f", decided from {training.first_at:%Y-%m-%d}" if training.first_at else ""
        span += f" to {training.last_at:%Y-%m-%d}" if training.last_at else ""
        text = f"{training.rows:,} rows{span}; the truth is {training.label}."
        evidence = [training.table, *([f"run:{known.run.id}"] if known.run else [])]
        yield filled("training_rows", "Rows", text, evidence=evidence)
    if not known.tables:
        fix = "slipway data list shows the tables of this store."
        yield lacking(
            "checks",
            "Checks of the data",
            "No table behind it is known here and open to you.",
            fix=fix,
            role="data engineer",
        )
        return
    rows = []
    for one in known.tables:
        failed = [f"{each.check} in all but {each.failed_rows:,} rows" for each in one.checks if not each.passed]
        passed = sum(each.passed for each in one.checks)
        told = f"{passed} of {len(one.checks)} passed" if one.checks else "none declared"
        found = "; ".join([told, *failed])
        rows.append((f"{one.name} {one.number}", f"{one.rows:,}", found, one.source or "the project's code"))
    head = ("table", "rows", "checks", "from")
    nodes = [f"table:{one.id}" for one in known.tables]
    at = max(one.created_at for one in known.tables)
    yield filled("checks", "Checks of the data", head=head, rows=rows, evidence=nodes, at=at)


def _ethics(known: Known, ask: Asking) -> Iterator[DocumentField]:
    yield ask.field(MODEL_QUESTIONS["harm"])
    nodes = [f"table:{one.id}" for one in known.tables]
    if known.tables:
        text = "No column of the tables behind it is declared as personal." if not known.personal else ""
        yield filled("personal", "Personal data", text, items=known.personal, evidence=nodes)
    else:
        fix = "slipway data list shows the tables of this store."
        yield lacking("personal", "Personal data", "No table behind it is known here and open to you.", fix=fix)
    outcomes = [(one, ruling) for ruling in known.detail.verdicts[:1] for one in ruling.outcomes if one.kind == "fair"]
    if outcomes:
        items = [f"{one.check}: {one.result}. {one.found}" for one, _ in outcomes]
        ruling = outcomes[0][1]
        yield filled(
            "fairness", "Groups compared", items=items, evidence=[f"verdict:{ruling.id}"], at=ruling.created_at
        )
    else:
        fix = 'Let the gate compare them: sw.fair("true_positive_rate", by="COLUMN", margin=0.05).'
        text = "No gate compared groups of people or things."
        yield lacking("fairness", "Groups compared", text, fix=fix, role="data scientist")


def _caveats(known: Known, ask: Asking) -> Iterator[DocumentField]:
    yield ask.field(MODEL_QUESTIONS["limits"])
    yield incidents(known)
    yield retrained(known)
    erased = [(one, gone) for one in known.tables for gone in one.erased]
    items = [f"{gone.rows:,} rows of {one.name} {one.number} on {gone.at:%Y-%m-%d}" for one, gone in erased]
    if known.tables:
        text = "" if items else "Nothing that taught it was erased."
        nodes = [f"table:{one.id}" for one in known.tables]
        yield filled("erased", "Erased since", text, items=items, evidence=nodes)


def _metadata(known: Known) -> dict[str, Any]:
    """What the Hub reads in front of the Markdown."""
    bundle = known.bundle
    task = f"tabular-{bundle.task}"
    overall = [one for one in bundle.metrics if not one.slice and math.isfinite(one.value)]
    found: dict[str, Any] = {}
    if "license" in known.answers:
        found["license"] = known.answers["license"].text
    found |= {"library_name": _LIBRARIES.get(bundle.format, bundle.format), "pipeline_tag": task}
    found["tags"] = sorted({"slipway", task, bundle.format, *(("simulated",) if bundle.simulated else ())})
    if overall:
        found["metrics"] = list(dict.fromkeys(one.metric for one in overall))
        found["model-index"] = [_result(known, bundle, task)]
    return found


def _result(known: Known, bundle: Bundle, task: str) -> dict[str, Any]:
    table = known.training.table if known.training else next(iter(bundle.data), "")
    data = table.partition(":")[2].rpartition("@")[0].rpartition("/")[2] or bundle.model
    measured = [
        {"type": one.metric, "name": one.metric, "value": one.value}
        for one in bundle.metrics
        if not one.slice and math.isfinite(one.value)
    ]
    dataset = {"type": "tabular", "name": data}
    return {
        "name": f"{bundle.model} {known.version.number}",
        "results": [{"task": {"type": task}, "dataset": dataset, "metrics": measured}],
    }
