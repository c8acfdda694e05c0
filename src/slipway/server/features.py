"""The pages of features: what each is, who answers for it, which models use it, how fresh it is, and what proves it served right."""

from collections.abc import Iterable
from typing import Any

from slipway.errors import NotFound
from slipway.operations.catalog import Hit
from slipway.operations.features import Certified, FeatureDetail
from slipway.records.features import Aggregate, FeatureDefinition, Part, RequestField, Scalar, Windows
from slipway.records.features import View as FeatureView
from slipway.records.feeds import FeedCounts
from slipway.records.models import ModelVersion
from slipway.schema.durations import in_words
from slipway.server.view import Context, View

__all__ = ["features", "feature", "in_words_of"]

_KINDS = {"windows": "windows", "view": "view", "feature": "scalar function"}


def features(view: View) -> Context:
    """All features in use, and the feature sets of the models that have one."""
    found = view.ask("features.list").features
    used = _used(view)
    consistent = {report.name: report for report in view.ask("endpoints.reports").reports}
    return {
        "features": [_row(one, used.get(one.name)) for one in found],
        "sets": _sets(view),
        "reports": consistent,
    }


def feature(view: View) -> Context:
    """One feature with all its definitions, where it is served, and what proves it."""
    name = view.path["name"]
    detail: FeatureDetail = view.ask("features.get", name=name)
    newest = next(one for one in detail.versions if one.number == detail.in_use)
    columns = {field.name for field in newest.columns}
    hit = _used(view).get(name)
    models = hit.models if hit else ()
    served = [
        _served(view, endpoint, newest, columns) for endpoint in (hit.endpoints if hit else ()) if "/" not in endpoint
    ]
    return {
        "newest": newest,
        "row": _row(newest, hit),
        "versions": [(one, in_words_of(one.part)) for one in detail.versions],
        "in_use": detail.in_use,
        "served": [one for one in served if one],
        "certificates": [(model, _certified(view, model)) for model in models if "/" not in model],
        "columns": sorted(columns),
    }


def in_words_of(part: Part) -> str:
    """How a feature is computed, in a sentence."""
    if isinstance(part, Windows):
        by = ", ".join(part.by)
        return f"{'; '.join(_aggregate(one, part) for one in part.aggregates)} by {by}, each row once it was known ({part.time})"
    if isinstance(part, FeatureView):
        old = f", at most {in_words(part.ttl_us)} old" if part.ttl_us is not None else ""
        when = f" known by then ({part.time})" if part.time else ""
        return f"the latest row{when} of a query over {', '.join(part.sources) or 'tables'}, by {', '.join(part.entity)}{old}"
    if isinstance(part, Scalar):
        return f"a function of {', '.join(one.name for one in part.arguments) or 'nothing'}"
    return f"the request's field {part.name} as it stands" if isinstance(part, RequestField) else ""


def _aggregate(one: Aggregate, part: Windows) -> str:
    what = f"rows of {part.source}" if not one.column else f"{part.source}.{one.column}"
    about = f" (half as much after {in_words(one.half_life_us)})" if one.half_life_us else ""
    share = f" {one.quantile:g}" if one.kind == "quantile" else ""
    return f"{one.kind.replace('_', ' ')}{share} of {what} over {in_words(one.width_us)}{about}"


def _kind(part: Part) -> str:
    return "windows" if isinstance(part, Windows) else "view" if isinstance(part, FeatureView) else "scalar"


def _row(one: FeatureDefinition, hit: Hit | None) -> dict[str, Any]:
    part = one.part
    ttl = in_words(part.ttl_us) if isinstance(part, FeatureView) and part.ttl_us is not None else ""
    return {
        "definition": one,
        "kind": _kind(part),
        "words": in_words_of(part),
        "ttl": ttl,
        "models": hit.models if hit else (),
        "endpoints": hit.endpoints if hit else (),
    }


def _used(view: View) -> dict[str, Hit]:
    """By name, which models and endpoints use a feature of this project."""
    found = view.ask_if_allowed("catalog.search")
    hits: Iterable[Hit] = found.hits if found else ()
    return {one.name: one for one in hits if one.sort in _KINDS and one.project == view.workspace.project}


def _sets(view: View) -> list[dict[str, Any]]:
    """The feature set of the newest version of each model that has one."""
    found = []
    newest: dict[str, ModelVersion] = {}
    for row in view.ask("models.list").models:
        known = newest.setdefault(row.version.name, row.version)
        newest[row.version.name] = max(known, row.version, key=lambda one: one.number)
    for version in newest.values():
        detail = view.ask("models.get", name=version.name, version=str(version.number))
        spec = detail.bundle.features if detail.bundle else None
        if spec is None:
            continue
        target = f"{version.name}:{version.number}"
        found.append({"spec": spec, "version": version, "certified": _certified(view, target)})
    return found


def _certified(view: View, target: str) -> Certified | None:
    """What proves a model's features; None where nothing does."""
    name, _, number = target.partition(":")
    try:
        found: Certified = view.ask("features.certify", model=name, version=number or "latest")
    except NotFound:
        view.sources.pop()
        return None
    return found


def _served(view: View, endpoint: str, one: FeatureDefinition, columns: set[str]) -> dict[str, Any] | None:
    """How an endpoint finds a feature: its feed, and what was found when served values were computed again."""
    try:
        detail = view.ask("endpoints.get", name=endpoint)
    except NotFound:
        view.sources.pop()
        return None
    report = detail.consistency
    return {
        "endpoint": endpoint,
        "feed": _feed(one.part, detail.feeds),
        "checked": [each for each in report.features if each.feature in columns] if report else [],
        "report": report,
    }


def _feed(part: Part, feeds: Iterable[FeedCounts]) -> FeedCounts | None:
    if not isinstance(part, Windows | FeatureView):
        return None
    return next((one for one in feeds if one.name == part.name), None)
