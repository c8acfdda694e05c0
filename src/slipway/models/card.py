"""The model card: what is known of a model from evidence, what a person must add, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.models.explained_words import told
from slipway.models.state import Evaluation
from slipway.records.models import Bundle, MetricValue

__all__ = ["answered", "card"]

_ASKED = (
    ("purpose", "Purpose", "What is it for, and what should it not be used for?"),
    ("harm", "Who may be harmed", "Whom does a wrong answer hurt, and how is that watched?"),
    ("limits", "Known limits", "Where does it fail, beyond the slices below?"),
)


def card(bundle: Bundle, evaluation: Evaluation | None, *, actor: str) -> str:
    """The card as Markdown. Each part says whether it comes from evidence (auto), is asked of a person, or is missing.

    Args:
        bundle: The manifest, its own card not yet among the files.
        evaluation: What was found on rows it was not trained on.
        actor: Who packed it.
    """
    lines = [f"# {bundle.model}", "", f"A {bundle.task} model, kept in the format {bundle.format}.", ""]
    lines += ["## Details (auto)", "", *_details(bundle, actor), ""]
    lines += ["## Inputs (auto)", "", "| input | type | may be missing |", "|---|---|---|"]
    lines += [f"| {f.name} | {f.type} | {'yes' if f.nullable else 'no'} |" for f in bundle.signature.inputs]
    lines += ["", *_quality(evaluation), "", *told(bundle), "", *_limits(bundle, evaluation)]
    for _, title, question in _ASKED:
        lines += ["", *_asked(title, question)]
    return "\n".join(lines) + "\n"


def answered(text: str, said: Mapping[str, str]) -> str:
    """The card with what people have written down since it was packed.

    Args:
        text: The card as it lies in the bundle.
        said: What was written, by field: "purpose", "harm", "limits", "owner".
    """
    for field, title, question in _ASKED:
        if field in said:
            text = text.replace("\n".join(_asked(title, question)), f"## {title} (written)\n\n{said[field]}")
    return text + (f"\n## Owner (written)\n\n{said['owner']}\n" if "owner" in said else "")


def _asked(title: str, question: str) -> list[str]:
    return [f"## {title} (asked)", "", f"*{question}* Not answered yet."]


def _details(bundle: Bundle, actor: str) -> list[str]:
    environment = bundle.environment
    until = bundle.trained_until
    facts = {
        "Packed by": actor,
        "Made by run": bundle.run_id,
        "Trained on decisions until": until.isoformat() if until else "",
        "Data": ", ".join(bundle.data),
        "Features": bundle.features.name if bundle.features else "takes its inputs as they are",
        "Code": bundle.code.commit + (" with uncommitted changes" if bundle.code.dirty else ""),
        "Environment": f"Python {environment.python}, {len(environment.lock)} distributions" if environment else "",
        "Parity": bundle.parity,
        "Skew": bundle.skew,
        "Decision": _decision(bundle),
    }
    return [f"- {name}: {value.strip() or '**missing**'}" for name, value in facts.items()]


def _decision(bundle: Bundle) -> str:
    decision = bundle.decision
    if decision.threshold is None:
        return "the score itself is the answer"
    costs = ", ".join(f"{name.replace('_', ' ')} {cost:g}" for name, cost in decision.costs.items())
    return f"yes from {decision.threshold:.4g} on" + (
        f"; costs in {decision.unit or 'no unit'}: {costs}" if costs else ""
    )


def _quality(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return ["## Quality (missing)", "", "It was never evaluated: use `sw.evaluate(model, rows, label=...)`."]
    lines = [
        "## Quality (auto)", "",
        f"On {evaluation.rows:,} rows it was not trained on; the truth is `{evaluation.label}`.", "",
        "| metric | slice | value | 95 % interval | rows |", "|---|---|---|---|---|",
    ]  # fmt: skip
    return lines + [_metric(metric) for metric in evaluation.metrics]


def _metric(metric: MetricValue) -> str:
    value = "cannot tell" if metric.value != metric.value else f"{metric.value:.4f}"
    interval = "" if metric.low != metric.low else f"{metric.low:.4f} to {metric.high:.4f}"
    return f"| {metric.metric} | {metric.slice or 'all'} | {value} | {interval} {metric.note}| {metric.n:,} |"


def _limits(bundle: Bundle, evaluation: Evaluation | None) -> list[str]:
    lines = ["## Limits (auto)", ""]
    if bundle.format == "pickle":
        lines.append("- It is kept as a pickle, which somebody trusted: loading it may run any code.")
    refused = [field.name for field in bundle.signature.inputs if not field.nullable]
    if refused:
        lines.append(f"- It refuses rows in which these are missing: {', '.join(refused)}.")
    if evaluation is not None:
        told = {m.slice for m in evaluation.metrics if m.slice and m.value != m.value}
        if told:
            lines.append(f"- Its quality cannot be told on: {', '.join(sorted(told))}.")
    return lines if len(lines) > 2 else [*lines, "- None found by itself."]
