"""The pages of models: the registry, one version with its way into production, and two versions side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.errors import InvalidInput, NotFound
from slipway.models.decision_words import price_in_words
from slipway.operations.endpoints import EndpointRow
from slipway.operations.models import ModelDetail, VersionsDiff
from slipway.operations.permissions import allowed
from slipway.records.models import MetricValue, ModelVersion
from slipway.server import comments, contracts, explained, figures, promotions, release
from slipway.server.view import Context, View

__all__ = ["compare", "model", "models"]

_MOST_OFFERED = 200


@dataclass(frozen=True)
class Beside:
    """A metric of two versions: None where one has it not."""

    name: str
    before: MetricValue | None
    after: MetricValue | None

    @property
    def difference(self) -> float | None:
        """How much more the later one has, None where that cannot be told."""
        if self.before is None or self.after is None:
            return None
        found = self.after.value - self.before.value
        return found if math.isfinite(found) else None


def models(view: View) -> Context:
    """All versions, newest first, and where each serves."""
    found = view.ask("models.list").models
    return {"models": found, "serving": _serving(view)}


def model(view: View) -> Context:
    """One version: its bundle, how it was judged, where it is on its way, and what its answers rest on."""
    detail: ModelDetail = view.ask("models.get", name=view.path["name"], version=view.path["version"])
    metrics = detail.bundle.metrics if detail.bundle else ()
    bundle = detail.version.bundle
    promoted = view.ask("promotions.list", model=detail.version.name, bundle=bundle).promotions if bundle else ()
    overall = [metric for metric in metrics if not metric.slice]
    way = release.steps(view, detail, promoted) if bundle else None
    return {
        "detail": detail,
        "made_up": detail.bundle.simulated if detail.bundle else None,
        "promotions": promotions.ways(promoted),
        "release": way,
        "judged": release.judged(view, detail),
        "asked": release.approvals(view, detail),
        "may_deploy": allowed(view.workspace.actor, "endpoints.deploy"),
        "may_judge": allowed(view.workspace.actor, "gates.check"),
        "serves": _serving(view).get((detail.version.name, detail.version.number), []),
        "since": _since_before(view, detail.version) if bundle else None,
        "overall": overall,
        "charts": figures.slice_charts(metrics),
        "rests": explained.figures(detail.bundle),
        "contracts": contracts.contracts_at(view, detail.version.name),
        "lineage": figures.lineage(detail, view.workspace.project),
        "price": price_in_words(detail.bundle.decision) if detail.bundle and detail.bundle.decision.is_price else "",
        "thread": comments.thread(view, f"model:{detail.version.id}"),
        "on_verdict": comments.thread(view, f"verdict:{detail.verdicts[0].id}") if detail.verdicts else None,
        "said": view.query.get("said", ""),
        "live": way is not None and way.pop("live"),
    }


def compare(view: View) -> Context:
    """Any two versions: which parts moved, and their metrics side by side."""
    offered = [f"{row.version.name}:{row.version.number}" for row in view.ask("models.list").models[:_MOST_OFFERED]]
    chosen = [one for one in view.query.getlist("version") if one]
    after = view.query.get("after") or (chosen[0] if chosen else "")
    before = view.query.get("before") or (chosen[1] if len(chosen) > 1 else "")
    context: Context = {
        "offered": offered,
        "before": before,
        "after": after,
        "diff": None,
        "beside": (),
        "refused": None,
    }
    if not after:
        return context
    if len(chosen) > 2:
        too_many = InvalidInput(f"{len(chosen)} versions were chosen.", fix="Choose two.")
        return context | {"refused": too_many}
    try:
        found: VersionsDiff = view.ask("models.diff", target=after, **({"before": before} if before else {}))
    except (InvalidInput, NotFound) as problem:
        view.sources.pop()
        return context | {"refused": problem}
    names = {which: f"{one.name}:{one.number}" for which, one in (("before", found.before), ("after", found.after))}
    return context | names | {"diff": found, "beside": _beside(view, found)}


def _beside(view: View, found: VersionsDiff) -> list[Beside]:
    """The overall metrics of two versions, those of the later one first."""
    both = []
    for version in (found.before, found.after):
        detail: ModelDetail = view.ask("models.get", name=version.name, version=str(version.number))
        known = detail.bundle.metrics if detail.bundle else ()
        both.append({one.metric: one for one in known if not one.slice})
    before, after = both
    return [Beside(name, before.get(name), after.get(name)) for name in dict.fromkeys([*after, *before])]


def _serving(view: View) -> dict[tuple[str, int], list[EndpointRow]]:
    """By model and number, the endpoints where a version serves now."""
    listed = view.ask_if_allowed("endpoints.list")
    rows: Sequence[EndpointRow] = listed.endpoints if listed else ()
    found: dict[tuple[str, int], list[EndpointRow]] = {}
    for row in rows:
        found.setdefault((row.revision.served.model, row.revision.served.number), []).append(row)
    return found


def _since_before(view: View, version: ModelVersion) -> VersionsDiff | None:
    try:
        found: VersionsDiff = view.ask("models.diff", target=f"{version.name}:{version.number}")
    except NotFound:  # it is the first one, or what it was made of is gone
        view.sources.pop()
        return None
    return found
