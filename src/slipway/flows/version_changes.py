"""Which parts of a model version moved since another, in words: data, features, code, libraries, model, metrics, card."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from msgspec import structs

from slipway.errors import NotFound
from slipway.flows.endpoints import revision_of
from slipway.flows.run_changes import changes, data_changes
from slipway.ledger import entries
from slipway.models import registry
from slipway.models.bundle import COMPILED, LAYOUT
from slipway.models.card import packed_sections
from slipway.models.prepared import PREPARE
from slipway.operations.models import DiffVersions, MovedPart, VersionsDiff
from slipway.pipelines.apart_because import environment_changes
from slipway.ports.workspace import Workspace
from slipway.records.documents import DocumentField
from slipway.records.features import FeatureSetSpec, Part, RequestField, Scalar, View, Windows
from slipway.records.models import Bundle, BundleFile, MetricValue, ModelVersion
from slipway.records.runs import Run
from slipway.records.schema import Field, Signature
from slipway.schema.durations import in_words

__all__ = ["diff_versions", "version_meant"]

_OF_THE_CARD = frozenset({"groups", "evaluated", "explained", "found_limits", "fast_path"})
_PARTS = ("data", "features", "training", "lock", "model", "signature", "metrics", "card")
_ENDPOINT = "endpoint:"
_CODE, _MODEL = "code/", "model/"
_KINDS: dict[type, str] = {Windows: "windows", View: "view", Scalar: "function", RequestField: "field"}
_TIMES = {"width_us", "ttl_us", "half_life_us"}


def diff_versions(workspace: Workspace, request: DiffVersions) -> VersionsDiff:
    """Which parts of two versions are others, and what of each.

    Raises:
        NotFound: There is no such version, nothing serves at the endpoint, or no version was registered before this one.
        InvalidInput: One of them has no bundle.
    """
    after = version_meant(workspace, request.target)
    before = version_meant(workspace, request.before) if request.before else _one_before(workspace, after)
    told = _Compared(workspace, before, after).parts()
    return VersionsDiff(
        before=before,
        after=after,
        moved=tuple(MovedPart(part=name, changes=tuple(found)) for name, found in told.items() if found),
        same=tuple(name for name, found in told.items() if not found),
    )


def version_meant(workspace: Workspace, target: str) -> ModelVersion:
    """The version with a bundle that is meant.

    Args:
        workspace: Whose models.
        target: MODEL or MODEL:VERSION (a number, an alias, latest), or endpoint:NAME for the version that serves there.

    Raises:
        NotFound: There is no such version, or nothing was ever deployed to the endpoint.
        InvalidInput: The version has no bundle.
    """
    if target.startswith(_ENDPOINT):
        served = revision_of(workspace, target.removeprefix(_ENDPOINT)).served
        return registry.get(workspace, served.model, served.number)
    name, _, number = target.partition(":")
    return registry.get(workspace, name, number or registry.LATEST)


def _one_before(workspace: Workspace, version: ModelVersion) -> ModelVersion:
    older = (one for one in registry.versions(workspace, version.name) if one.number < version.number)
    if (found := next(older, None)) is not None:
        return found
    raise NotFound(
        f"No version of {version.name!r} with a bundle was registered before version {version.number}.",
        fix=f"Name the version to compare with: slipway diff OTHER:VERSION {version.name}:{version.number}",
    )


class _Compared:
    """Two versions side by side; each method gives what of one part is another, [] where it is the same."""

    def __init__(self, workspace: Workspace, before: ModelVersion, after: ModelVersion) -> None:
        self._workspace = workspace
        self._versions = before, after
        self._old, self._new = (registry.bundle_of(workspace, version) for version in (before, after))

    def parts(self) -> dict[str, Sequence[str]]:
        """What moved, by part, in the order in which a model comes about."""
        if self._versions[0].bundle == self._versions[1].bundle:
            return dict.fromkeys(_PARTS, ())
        found: tuple[Iterable[str], ...] = (
            (*data_changes(self._workspace, self._old.data, self._new.data), *self._rows()),
            dict.fromkeys((*_features(self._old.features, self._new.features), *self._feature_code())),
            self._training(),
            self._lock(),
            self._model(),
            _signature(self._old.signature, self._new.signature),
            _metrics(self._old.metrics, self._new.metrics),
            self._card(),
        )
        return dict(zip(_PARTS, map(tuple, found), strict=True))

    def _rows(self) -> list[str]:
        old, new = self._old.trained_until, self._new.trained_until
        told = [] if old == new else [f"trained until {_moment(old)} -> {_moment(new)}"]
        if self._old.training_set != self._new.training_set and self._old.data == self._new.data:
            told.append("other training rows of the same tables")
        return told

    def _feature_code(self) -> Iterator[str]:
        """The functions and constants of the bundles' own code that are others: what features reach, helpers too."""
        old, new = (self._definitions(bundle, _CODE) for bundle in (self._old, self._new))
        yield from _named(old, new)

    def _training(self) -> list[str]:
        """The code and parameters of the runs that made them, where both are known here."""
        runs = [self._run(version) for version in self._versions]
        if runs[0] is not None and runs[1] is not None:
            if runs[0].id == runs[1].id:
                return []
            found = changes(self._workspace, runs[0], runs[1])
            return [*found.code, *(f"parameter {one}" for one in found.params)]
        old, new = self._old.code, self._new.code
        if old.closure == new.closure:
            return []
        return [f"the code of training (commit {old.commit[:12] or 'unknown'} -> {new.commit[:12] or 'unknown'})"]

    def _run(self, version: ModelVersion) -> Run | None:
        if not version.run_id:
            return None
        with self._workspace.ledger.read() as tx:
            return entries.get(tx, Run, version.run_id) if entries.etag(tx, Run, version.run_id) else None

    def _lock(self) -> list[str]:
        old, new = self._old.environment, self._new.environment
        if old is None or new is None:
            return [] if old is new else [f"{'no lock' if old is None else 'a lock'} before"]
        told = environment_changes(self._workspace.blobs, old, new, are_whole=True)
        return told + ([f"{old.platform} -> {new.platform}"] if old.platform != new.platform else [])

    def _model(self) -> list[str]:
        old, new = self._old, self._new
        told = [
            f"{what} {was or 'none'} -> {now or 'none'}"
            for what, was, now in (("format", old.format, new.format), ("task", old.task, new.task))
            if was != now
        ]
        told += _named(*({one.path: one.digest for one in self._weights(bundle)} for bundle in (old, new)))
        told += _named(*(self._definitions(bundle, f"{PREPARE}/") for bundle in (old, new)))
        if old.decision.threshold != new.decision.threshold:
            told.append(f"threshold {_figure(old.decision.threshold)} -> {_figure(new.decision.threshold)}")
        if (old.decision.costs, old.decision.unit) != (new.decision.costs, new.decision.unit):
            told.append("the costs behind the threshold")
        return told

    @staticmethod
    def _weights(bundle: Bundle) -> list[BundleFile]:
        """What answers: the estimator's files, how it is asked, what `prepare` knows."""
        return [
            one
            for one in bundle.files
            if one.path.startswith(_MODEL)
            or one.path in (LAYOUT, COMPILED)
            or (one.path.startswith(f"{PREPARE}/") and not one.path.endswith(".py"))
        ]

    def _definitions(self, bundle: Bundle, folder: str) -> dict[str, str]:
        """The top-level definitions of a bundle's code, as `module.name`, with their text less comments and layout."""
        found: dict[str, str] = {}
        for one in bundle.files:
            if one.path.startswith(folder) and one.path.endswith(".py"):
                module = one.path.removeprefix(folder).removeprefix(_CODE).removesuffix(".py").replace("/", ".")
                source = self._workspace.blobs.get(one.digest).decode()
                found.update((f"{module}.{name}", text) for name, text in _top_level(source))
        return found

    def _card(self) -> list[str]:
        old, new = (_told(bundle) for bundle in (self._old, self._new))
        moved = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
        return [f"its part {', '.join(map(repr, moved))}"] if moved else []


def _features(old: FeatureSetSpec | None, new: FeatureSetSpec | None) -> Iterator[str]:
    was, is_now = (
        {f"{_KINDS[type(part)]} {part.name}": part for part in spec.parts} if spec else {} for spec in (old, new)
    )
    for name in dict.fromkeys((*was, *is_now)):
        before, after = was.get(name), is_now.get(name)
        if before is None or after is None:
            yield f"{name} is {'new' if before is None else 'gone'}"
        elif before != after:
            yield from _part_changes(name, before, after)


def _part_changes(what: str, old: Part, new: Part) -> Iterator[str]:
    if isinstance(old, Windows) and isinstance(new, Windows):
        was, is_now = ({one.name: one for one in windows.aggregates} for windows in (old, new))
        for name in dict.fromkeys((*was, *is_now)):
            if name not in was or name not in is_now:
                yield f"{what}: {name} is {'new' if name in is_now else 'gone'}"
            elif was[name] != is_now[name]:
                yield f"{what}: {name} {', '.join(_fields(was[name], is_now[name]))}"
    told = list(_fields(old, new, but={"aggregates", "definition", "module"}))
    if isinstance(old, Scalar | View) and isinstance(new, Scalar | View) and old.definition != new.definition:
        told.insert(0, "is another")
    if told:
        yield f"{what} {', '.join(told)}"


def _fields(old: Any, new: Any, but: Set[str] = frozenset()) -> Iterator[str]:
    """The fields of two structures that differ, in words."""
    for name in old.__struct_fields__:
        was, is_now = getattr(old, name), getattr(new, name)
        if name not in but and was != is_now:
            yield f"{name.removesuffix('_us')} {_value(name, was)} -> {_value(name, is_now)}"


def _value(name: str, value: Any) -> str:
    if name in _TIMES:
        return in_words(value) if value else "none"
    if isinstance(value, tuple):
        return "(" + ", ".join(str(one.name if isinstance(one, Field) else one) for one in value) + ")"
    return str(value) if value not in (None, "") else "none"


def _signature(old: Signature, new: Signature) -> list[str]:
    told: list[str] = []
    for what, was, is_now in (("input", old.inputs, new.inputs), ("output", old.outputs, new.outputs)):
        before, after = ({field.name: field for field in fields} for fields in (was, is_now))
        told += _named(before, after, what=f"{what} ", how=_field_change)
        if before == after and list(before) != list(after):
            told.append(f"the order of {what}s")
    return told


def _field_change(old: Field, new: Field) -> str:
    told = [f"{old.type} -> {new.type}"] if old.type != new.type else []
    if old.nullable != new.nullable:
        told.append("may be null now" if new.nullable else "may not be null now")
    if old.categories != new.categories:
        told.append(f"{len(old.categories)} -> {len(new.categories)} categories" + _new_categories(old, new))
    return ", ".join(told)


def _new_categories(old: Field, new: Field) -> str:
    more, less = (sorted(set(a.categories) - set(b.categories))[:3] for a, b in ((new, old), (old, new)))
    return "".join(f", {word}: {', '.join(names)}" for word, names in (("new", more), ("gone", less)) if names)


def _metrics(old: Sequence[MetricValue], new: Sequence[MetricValue]) -> Iterator[str]:
    was, is_now = ({(one.metric, one.slice): one for one in metrics} for metrics in (old, new))
    moved = [key for key in dict.fromkeys((*was, *is_now)) if not _alike(was.get(key), is_now.get(key))]
    for key in moved:
        if key[1]:
            continue
        before, after = (found[key].value if key in found else None for found in (was, is_now))
        told = f"{key[0]} {_figure(before)} -> {_figure(after)}"
        both = before is not None and after is not None and math.isfinite(before) and math.isfinite(after)
        yield f"{told} ({after - before:+.4g})" if both and before != after else told  # type: ignore[operator]
    if sliced := [key for key in moved if key[1]]:
        yield f"{len(sliced)} of {len({key for key in (*was, *is_now) if key[1]})} figures by slice"


def _alike(old: MetricValue | None, new: MetricValue | None) -> bool:
    """Equal, where what cannot be told equals what cannot be told."""
    return old is not None and new is not None and repr(structs.astuple(old)) == repr(structs.astuple(new))


def _figure(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "(none)"
    return f"{value:.6g}"


def _named(
    old: Mapping[str, Any], new: Mapping[str, Any], *, what: str = "", how: Any = lambda old, new: "is another"
) -> list[str]:
    """What two mappings have otherwise, by name."""
    told = []
    for name in dict.fromkeys((*old, *new)):
        if name not in old or name not in new:
            told.append(f"{what}{name} is {'new' if name in new else 'gone'}")
        elif old[name] != new[name]:
            told.append(f"{what}{name} {how(old[name], new[name])}")
    return told


def _top_level(source: str) -> Iterable[tuple[str, str]]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name, ast.dump(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield ", ".join(ast.unparse(target) for target in targets), ast.dump(node)


def _told(bundle: Bundle) -> dict[str, DocumentField]:
    """What a bundle's card says beyond what the other parts compare."""
    fields = (field for section in packed_sections(bundle) for field in section.fields)
    return {field.title: field for field in fields if field.name in _OF_THE_CARD}


def _moment(at: Any) -> str:
    return "(unknown)" if at is None else f"{at:%Y-%m-%d %H:%M}"
