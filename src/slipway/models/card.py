"""What a bundle by itself tells of its model, as fields of a card: those of `card.md`, and the first ones of the whole card.

The parts are those of Mitchell et al., "Model Cards for Model Reporting" (https://arxiv.org/abs/1810.03993). What came to be
known after packaging, and what people answered, is added by `slipway.flows.documents_card`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from slipway.charts.documents import markdown
from slipway.models.decision_words import price_in_words
from slipway.models.explained_words import BEHAVIOUR, sentence
from slipway.records.documents import Document, DocumentField, DocumentSection, filled, lacking
from slipway.records.models import Bundle, MetricValue
from slipway.stats.metrics import METRICS

__all__ = ["card", "figure", "lead", "packed_sections"]

_GROUPS, _SHOWN_METRICS = 60, 3


def card(bundle: Bundle) -> str:
    """The card that lies in a bundle, as Markdown: what was known when it was packed.

    Args:
        bundle: The manifest, its own card not yet among the files.
    """
    found = Document(
        kind="card",
        name=bundle.model,
        version=0,
        title=bundle.model,
        lead=lead(bundle),
        sections=packed_sections(bundle),
        simulated=bundle.simulated,
    )
    return markdown(found)


def lead(bundle: Bundle) -> str:
    """What the model is, in a sentence."""
    return f"A {bundle.task} model, kept in the format {bundle.format}."


def packed_sections(bundle: Bundle, node: str = "") -> tuple[DocumentSection, ...]:
    """What the bundle tells, in the parts of a model card; parts of which it tells nothing are left out.

    Args:
        bundle: The manifest.
        node: The node of the lineage that the fields name as their evidence, "" within the bundle itself.
    """
    evidence = (node,) if node else ()
    return (
        DocumentSection(title="Model details", fields=tuple(_details(bundle, evidence))),
        DocumentSection(title="Factors", fields=tuple(_factors(bundle, evidence))),
        DocumentSection(title="Metrics", fields=tuple(_metrics(bundle, evidence))),
        DocumentSection(title="Evaluation data", fields=(_evaluation(bundle, evidence),)),
        DocumentSection(title="Training data", fields=tuple(_training(bundle, evidence))),
        DocumentSection(title="Quantitative analyses", fields=tuple(_quantities(bundle, evidence))),
        DocumentSection(title="Caveats and recommendations", fields=(_found_limits(bundle, evidence),)),
    )


def _details(bundle: Bundle, evidence: Sequence[str]) -> Iterator[DocumentField]:
    yield filled("type", "Type of model", lead(bundle), evidence=evidence)
    given = ", ".join(f"{one.name} ({one.type})" for one in bundle.signature.outputs)
    yield filled("outputs", "Answers", f"It gives {given}.", evidence=evidence)
    features = bundle.features
    decided = _decision(bundle)
    text = f"The feature set {features.name}." if features else "It takes its inputs as they are."
    yield filled("features", "Features", text, evidence=evidence)
    yield filled("decision", "Decision", f"{decided[:1].upper()}{decided[1:]}.", evidence=evidence)
    if bundle.run_id:
        yield filled("run", "Made by", f"Run {bundle.run_id}.", evidence=(*evidence, f"run:{bundle.run_id}"))
    code = bundle.code
    if code.commit:
        text = f"Commit {code.commit}{', with uncommitted changes' if code.dirty else ''}."
        yield filled("code", "Code", text, evidence=evidence)
    elif code.snapshot:
        yield filled("code", "Code", f"The project snapshot {code.snapshot[:16]}.", evidence=evidence)
    elif code.closure:
        text = f"Code with the fingerprint {code.closure[:16]}, of which no commit or snapshot is known."
        yield filled("code", "Code", text, evidence=evidence)
    else:
        fix = "Commit the code and release it again."
        yield lacking("code", "Code", "Which code trained it is not known.", fix=fix, role="data scientist")
    made_in = bundle.environment
    if made_in is None:
        text, fix = "Where it was trained is not known.", "Release it from an environment whose packages are known."
        yield lacking("environment", "Environment", text, fix=fix, role="ml engineer")
    else:
        text = f"Python {made_in.python}, {len(made_in.lock)} distributions, {made_in.platform}."
        yield filled("environment", "Environment", text, evidence=evidence)
    yield filled("parity", "Packaging", bundle.parity or "The package's answers were not compared.", evidence=evidence)
    if bundle.compiled:
        yield filled("fast_path", "Fast path", bundle.compiled, evidence=evidence)
    yield filled(
        "inputs",
        "Inputs",
        head=("input", "type", "may be missing"),
        rows=[(one.name, one.type, "yes" if one.nullable else "no") for one in bundle.signature.inputs],
        evidence=evidence,
    )


def _decision(bundle: Bundle) -> str:
    decision = bundle.decision
    if decision.low is not None and decision.high is not None:
        return price_in_words(decision)
    if decision.threshold is None:
        return "the score itself is the answer"
    costs = ", ".join(f"{name.replace('_', ' ')} {cost:g}" for name, cost in decision.costs.items())
    return f"yes from {decision.threshold:.4g} on" + (
        f"; costs in {decision.unit or 'no unit'}: {costs}" if costs else ""
    )


def _factors(bundle: Bundle, evidence: Sequence[str]) -> Iterator[DocumentField]:
    columns = dict.fromkeys(one.slice.partition("=")[0] for one in bundle.metrics if one.slice)
    if columns:
        text = f"Quality is told by {', '.join(columns)}."
        yield filled("groups", "Groups that were looked at", text, evidence=evidence)
    else:
        text, fix = "Quality is told over all rows only.", "Name columns: sw.evaluate(..., slices=[...])."
        yield lacking("groups", "Groups that were looked at", text, fix=fix, role="data scientist")
    refused = [one.name for one in bundle.signature.inputs if not one.nullable]
    if refused:
        text = f"Rows in which these are missing are refused: {', '.join(refused)}."
    else:
        text = "Any input may be missing."
    yield filled("absent", "Missing inputs", text, evidence=evidence)


def _metrics(bundle: Bundle, evidence: Sequence[str]) -> Iterator[DocumentField]:
    names = list(dict.fromkeys(one.metric for one in bundle.metrics))
    if not names:
        yield _not_evaluated("measures", "What is measured")
        return
    known = [(name, METRICS[name].better, METRICS[name].meaning) for name in names if name in METRICS]
    rows = [*known, *((name, "", "the project's own") for name in names if name not in METRICS)]
    head = ("metric", "better", "what it is")
    yield filled("measures", "What is measured", head=head, rows=rows, evidence=evidence)
    text = "Each figure stands with its 95 % interval and the number of rows behind it."
    yield filled("uncertainty", "How sure it is", text, evidence=evidence)


def _evaluation(bundle: Bundle, evidence: Sequence[str]) -> DocumentField:
    overall = [one for one in bundle.metrics if not one.slice]
    if not overall:
        return _not_evaluated("evaluated", "Rows")
    items = [f"{max(one.n for one in overall):,} rows; the truth is {bundle.label}."]
    if bundle.held_out_from:
        items.append(f"From {bundle.held_out_from:%Y-%m-%d} on no row of the training set taught the model.")
    if bundle.overlap is not None:
        items.append(
            f"{bundle.overlap.taught:,} of {bundle.overlap.rows:,} rows looked up were among those of training."
        )
    return filled("evaluated", "Rows", items=items, evidence=evidence)


def _training(bundle: Bundle, evidence: Sequence[str]) -> Iterator[DocumentField]:
    if bundle.data:
        named = [node.partition(":")[2].rpartition("/")[2].partition("@") for node in bundle.data]
        items = [f"{name}, version {digest[:12]}" if digest else name for name, _, digest in named]
        yield filled("tables", "Tables", items=items, evidence=(*evidence, *bundle.data))
    else:
        fix = "Read the rows from declared tables: @sw.table."
        yield lacking("tables", "Tables", "It is not known what taught it.", fix=fix, role="data scientist")
    if bundle.trained_until:
        text = f"Decisions until {bundle.trained_until:%Y-%m-%d %H:%M} UTC."
        yield filled("until", "Until when", text, evidence=evidence)
    if bundle.simulated:
        text = f"SIMULATED: it learned from made-up rows of {', '.join(bundle.simulated)}. No figure tells of real customers."
        yield filled("made_up", "Made-up rows", text, evidence=evidence)


def _quantities(bundle: Bundle, evidence: Sequence[str]) -> Iterator[DocumentField]:
    overall = [one for one in bundle.metrics if not one.slice]
    sliced = [one for one in bundle.metrics if one.slice]
    head = ("metric", "value", "95 % interval", "rows")
    if not overall:
        yield _not_evaluated("quality", "Over all rows")
    else:
        yield filled("quality", "Over all rows", head=head, rows=[_metric(one) for one in overall], evidence=evidence)
    if sliced:
        yield _by_group(sliced, evidence)
    yield _rests_on(bundle, evidence)
    if bundle.skew:
        yield filled("skew", "Serving as in training", bundle.skew, evidence=evidence)


def _by_group(sliced: Sequence[MetricValue], evidence: Sequence[str]) -> DocumentField:
    """One row a group, with the first metrics beside each other."""
    names = list(dict.fromkeys(one.metric for one in sliced))
    shown, groups = names[:_SHOWN_METRICS], list(dict.fromkeys(one.slice for one in sliced))
    found = {(one.slice, one.metric): one for one in sliced}
    rows = []
    for group in groups[:_GROUPS]:
        cells = [found.get((group, name)) for name in shown]
        counted = max((one.n for one in cells if one is not None), default=0)
        rows.append((group, f"{counted:,}", *("" if one is None else _with_interval(one) for one in cells)))
    told = [
        *([f"Not shown: {', '.join(names[_SHOWN_METRICS:])}."] if len(names) > len(shown) else []),
        *([f"The first {_GROUPS} of {len(groups):,} groups."] if len(groups) > _GROUPS else []),
    ]
    return filled("slices", "By group", " ".join(told), head=("group", "rows", *shown), rows=rows, evidence=evidence)


def _with_interval(one: MetricValue) -> str:
    interval = "" if math.isnan(one.low) else f" ({figure(one.low)} to {figure(one.high)})"
    return f"{figure(one.value)}{interval}"


def _rests_on(bundle: Bundle, evidence: Sequence[str]) -> DocumentField:
    found, title = bundle.explained, "What its answers rest on"
    if found is None:
        fix = "Ask in the pipeline: sw.explain(model, rows)."
        return lacking("explained", title, "Nobody asked.", fix=fix, role="data scientist")
    items = [f"Leak? {leak}" for leak in found.leaks]
    if found.interactions:
        first = found.interactions[0]
        items.append(f"The strongest interaction is of {first.first} and {first.second} (H {first.strength:.2f}).")
    return filled(
        "explained",
        title,
        f"{sentence(found, bundle)} {BEHAVIOUR}",
        items=items,
        head=("input", "by exchanging it", "95 % interval", "by contributions"),
        rows=[
            (one.input, f"{one.permuted:.1%}", f"{one.low:.1%} to {one.high:.1%}", f"{one.contribution:.1%}")
            for one in found.importances
        ],
        evidence=evidence,
    )


def _found_limits(bundle: Bundle, evidence: Sequence[str]) -> DocumentField:
    items = []
    if bundle.format == "pickle":
        items.append("It is kept as a pickle, which somebody trusted: loading it may run any code.")
    untold = sorted({one.slice for one in bundle.metrics if one.slice and math.isnan(one.value)})
    if untold:
        items.append(f"Its quality cannot be told on: {', '.join(untold)}.")
    return filled("found_limits", "Limits that were found", "" if items else "None.", items=items, evidence=evidence)


def _not_evaluated(name: str, title: str) -> DocumentField:
    fix = "Evaluate it in the pipeline: sw.evaluate(model, rows, label=...)."
    return lacking(name, title, "It was never evaluated.", fix=fix, role="data scientist")


def _metric(one: MetricValue) -> tuple[str, str, str, str]:
    note = f" ({one.note})" if one.note else ""
    interval = "" if math.isnan(one.low) else f"{figure(one.low)} to {figure(one.high)}"
    return one.metric, f"{figure(one.value)}{note}", interval, f"{one.n:,}"


def figure(value: float) -> str:
    """A figure of a document: four digits that matter, "cannot tell" for none."""
    return "cannot tell" if math.isnan(value) else f"{value:,.4g}"
