"""From a revision to what answers: its bundles verified, loaded and warm, with their features over one online store."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slipway import code
from slipway.errors import Corrupt, InvalidInput, near
from slipway.features.calls import row_caller
from slipway.features.extracted import functions_in
from slipway.features.online import Received, Resolver, build_receiver, build_resolver
from slipway.hashing import fingerprint
from slipway.hosts.endpoint_guests import Invite, limit_of
from slipway.hosts.online_stores import open_to_serve
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel
from slipway.models.price_limits import within
from slipway.ports.online_store import OnlineStore
from slipway.ports.signer import Signer
from slipway.ports.tracer import Call, Tracer
from slipway.records.endpoints import EMBEDDED, Challenger, FallbackSpec, Revision, Rule, Served, Way
from slipway.records.features import FeatureSetSpec, Part, RequestField, Scalar, View, Windows
from slipway.records.feeds import feeds_of
from slipway.records.models import Bundle
from slipway.records.schema import Field, Signature
from slipway.serving.active import (
    Active,
    Explain,
    Joining,
    LoadedChallenger,
    Predict,
    Resolve,
    Rows,
    RowsCheck,
    reads_nothing,
)
from slipway.serving.active import Received as Pushed
from slipway.serving.caller_limit import LIMITS_FILE, CallerLimit
from slipway.serving.contracts import ContractReader
from slipway.serving.fallback import LoadedFallback, LoadedWay, is_probability
from slipway.serving.feed_counters import FeedCounters
from slipway.serving.guest import LIMIT_S, Guest
from slipway.serving.joining import MEASURED_ROWS, measured
from slipway.serving.log_policy import LogPolicy, read_key
from slipway.serving.online_place import read_place
from slipway.serving.pushed_rows import checks_of

__all__ = ["Loader", "resolver_over"]

_BUNDLES = "bundles"
_CODE = "code"
_RULES = "rules"
_LEAVES_AFTER_S = LIMIT_S + 5.0  # requests that came before have what they asked by then
_logger = logging.getLogger(__name__)


class Loader:
    """Turns revisions into what answers.

    A bundle is verified and loaded once as long as revision after revision names it, whichever arm it is: a step of a
    roll-out, a promotion and a stop load nothing.

    Args:
        folder: The endpoint's folder.
        signer: Verifies bundles; None where the folder as a whole was verified, as an image is by its digest.
        slot: The index of the worker that counts.
        tracer: Makes spans of look-ups and models, None for none.
        invite: Starts a challenger in the process of another environment; None where none can be started.
    """

    def __init__(
        self,
        folder: Path,
        signer: Signer | None,
        slot: int = 0,
        tracer: Tracer | None = None,
        *,
        invite: Invite | None = None,
    ) -> None:
        self._folder = folder
        self._tracer = tracer
        self._slot = slot
        self._signer = signer
        self._store: OnlineStore | None = None
        self._place = EMBEDDED
        self._stores: list[OnlineStore] = []
        self._invite = invite
        self._known: dict[_Key, _Model] = {}
        self._left: list[tuple[float, _Model]] = []

    def load(self, revision: Revision) -> Active:
        """Verify and load a revision's bundles, and ask each its reference sample, where that was not erased.

        Raises:
            SlipwayError: One is altered or not signed, does not answer as it did when it was packaged, or does not fit the
                contract.
        """
        wanted = {one.bundle: self._key(revision, one) for one in revision.versions}
        models: dict[str, _Model] = {}
        try:
            for digest, key in wanted.items():
                models[digest] = self._known.get(key) or self._loaded(revision, digest, key)
            active = self._active(revision, models)
        except BaseException:
            _end([model for digest, model in models.items() if wanted[digest] not in self._known])
            raise
        known = {wanted[digest]: model for digest, model in models.items()}
        left = [model for key, model in self._known.items() if key not in known and model.guest is not None]
        self._left += [(time.monotonic() + _LEAVES_AFTER_S, model) for model in left]
        self._known = known
        return active

    def _active(self, revision: Revision, models: Mapping[str, "_Model"]) -> Active:
        champion = models[revision.served.bundle]
        reads = _Reads(champion.spec, None if champion.spec is None else self._open_store(champion.spec))
        beside = [
            self._challenger(revision, plan, champion, models[plan.served.bundle]) for plan in revision.challengers
        ]
        if extra := _extra(champion.spec, [model.spec for model in models.values()]):
            reads = _Reads(champion.spec, self._open_store(extra), extra)
        feeds = FeedCounters(self._folder, feeds_of(champion.spec), self._slot)
        return Active(
            revision=revision,
            contract=ContractReader(revision.contract),
            resolve=self._traced("features", self._resolve(champion, revision.contract.fields, feeds)),
            feeds=feeds,
            predict=self._traced("model", champion.predict, "champion", revision.served),
            explain=champion.explain,
            threshold=champion.bundle.decision.threshold,
            sources=reads.sources,
            views=reads.views,
            receive=reads.receive,
            challenger=beside[0] if beside else None,
            beside=tuple(beside[1:]),
            log_policy=self._log_policy(revision, models),
            fallback=None if revision.fallback is None else self._fallback(revision, revision.fallback, models),
            joining=champion.joining,
            width=len(champion.signature.inputs),
            caller_limit=CallerLimit(revision.caller_rate, self._folder / LIMITS_FILE)
            if revision.caller_rate
            else None,
            prices={
                one.number: models[one.bundle].bundle.decision
                for one in revision.versions
                if models[one.bundle].bundle.decision.is_price
            },
            simulated=champion.bundle.simulated,
        )

    def load_alone(self, digest: str, fields: Sequence[Field]) -> tuple[LoadedModel, Resolve]:
        """Verify, load and check one bundle: its model, and what resolves rows of a contract's fields for it.

        Raises:
            SlipwayError: As `load` does.
        """
        model = self._load(digest)
        assert model.loaded is not None  # it is loaded here
        return model.loaded, self._resolve(model, fields)

    def look(self, memory_bytes: int) -> None:
        """Look after the challengers in processes of their own: each may come to take so much memory, 0 for no limit."""
        for model in list(self._known.values()):
            if model.guest is not None:
                model.guest.look(memory_bytes)
        now = time.monotonic()
        _end([model for at, model in self._left if at <= now])
        self._left = [(at, model) for at, model in self._left if at > now]

    def close(self) -> None:
        """Close the online stores, and end challengers in processes of their own."""
        _end([*self._known.values(), *(model for _, model in self._left)])
        for store in self._stores:
            store.close()

    def _traced(self, name: str, call: Call, arm: str = "", served: Served | None = None) -> Call:
        if self._tracer is None:
            return call
        told: dict[str, str | int] = {}
        if served is not None:
            told = {"slipway.arm": arm, "slipway.model": served.model, "slipway.version": served.number}
        return self._tracer.inside(name, call, told)

    def _log_policy(self, revision: Revision, models: Mapping[str, "_Model"]) -> LogPolicy | None:
        spec, contract = revision.log, revision.contract
        if spec.sample >= 1 and not spec.redacted:
            return None
        inputs = {digest[:16]: model.signature.inputs for digest, model in models.items()}
        secret = read_key(self._folder) if spec.redacted else b""
        return LogPolicy(spec, contract.fields, contract.key, inputs, secret)

    def _key(self, revision: Revision, served: Served) -> "_Key":
        """What tells a loaded model from another one: of one in a process of its own, all that the process was told."""
        if served.environment == revision.served.environment:
            return _Key(served.bundle)
        place = read_place(self._folder)
        return _Key(served.bundle, served.environment, revision.contract.fields, f"{place.url} {place.namespace}")

    def _loaded(self, revision: Revision, digest: str, key: "_Key") -> "_Model":
        if key == _Key(digest):
            return self._load(digest)
        served = next(one for one in revision.versions if one.bundle == digest)
        if self._invite is None or served not in [one.served for one in revision.challengers]:
            raise Corrupt(
                f"{served.model} {served.number} is for another environment than {revision.served.model} "
                f"{revision.served.number}, and only a challenger at an endpoint answers in one of its own.",
                fix="Deploy it to an endpoint.",
            )
        bundle = bundles.verify(self._folder / _BUNDLES / digest, expect=digest, signer=self._signer)
        guest = self._invite(served, revision.contract.fields, self._folder / _BUNDLES / digest)
        return _Model(bundle, guest.predict, guest.explain, guest=guest)

    def _load(self, digest: str) -> "_Model":
        folder = self._folder / _BUNDLES / digest
        loaded = bundles.load(folder, expect=digest, signer=self._signer)
        checked = loaded.check_sample()
        if checked.is_erased:
            _logger.warning("The model %s is served without its self-check: %s.", loaded.bundle.model, checked.sentence)
        spec = loaded.bundle.features
        functions = {} if spec is None else _functions(folder, loaded.bundle.modules, spec)
        joining = measured(loaded.predict_rows, _sample(loaded))
        return _Model(loaded.bundle, loaded.predict_rows, loaded.explain, functions, joining, loaded)

    def _fallback(self, revision: Revision, spec: FallbackSpec, models: Mapping[str, "_Model"]) -> LoadedFallback:
        champion, fields = models[revision.served.bundle].bundle, revision.contract.fields
        names = [field.name for field in champion.signature.inputs]
        return LoadedFallback(
            spec=spec,
            ways=tuple(self._way(way, fields, models) for way in spec.ways),
            is_valid=is_probability if champion.task == "classification" else math.isfinite,
            required=tuple((name, names.index(name)) for name in spec.required),
            sent=frozenset(field.name for field in fields),
            limit=within(champion.decision),
        )

    def _way(self, way: Way, fields: Sequence[Field], models: Mapping[str, "_Model"]) -> LoadedWay:
        if way.served is not None:
            model = models[way.served.bundle]
            resolve, predict = self._resolve(model, fields), model.predict
            return LoadedWay(
                by="version",
                ask=lambda rows, at: predict(resolve(rows, at)),
                version=way.served.number,
                threshold=model.bundle.decision.threshold,
            )
        if way.rule is not None:
            return LoadedWay(by="rule", ask=_rule(self._folder / _RULES, way.rule, fields))
        return LoadedWay(by="value", ask=lambda rows, at: [way.value] * len(rows), value=way.value)

    def _challenger(
        self, revision: Revision, plan: Challenger, champion: "_Model", challenger: "_Model"
    ) -> LoadedChallenger:
        resolve = self._traced("features", self._resolve(challenger, revision.contract.fields))
        if challenger.guest is not None:
            challenger.guest.limit_s = limit_of(revision)
        return LoadedChallenger(
            plan=plan,
            predict=self._traced("model", challenger.predict, plan.name, plan.served),
            explain=challenger.explain,
            threshold=challenger.bundle.decision.threshold,
            resolve=None if challenger.takes_the_same(champion) else resolve,
            is_valid=is_probability if challenger.bundle.task == "classification" else math.isfinite,
            guest=challenger.guest,
        )

    def _resolve(self, model: "_Model", fields: Sequence[Field], feeds: FeedCounters | None = None) -> Resolve:
        if model.guest is not None:
            return model.guest.resolve
        inputs = model.signature.inputs
        if model.spec is None:
            take = _taker(fields, inputs, "model")
            return lambda rows, at: [take(row) for row in rows]
        cells = feeds.cells if feeds is not None else None
        resolve = build_resolver(model.spec, model.functions, self._open_store(model.spec), cells=cells)
        return resolver_over(resolve, fields, model.spec, inputs)

    def _open_store(self, spec: FeatureSetSpec) -> OnlineStore | None:
        if all(isinstance(part, Scalar | RequestField) for part in spec.parts):
            return None
        place = read_place(self._folder)
        if self._store is None or (place.url, place.namespace) != (self._place.url, self._place.namespace):
            # A former store stays open: requests on the former revision may still ask it.
            self._store, self._place = open_to_serve(self._folder), place
            self._stores.append(self._store)
        return self._store


class _Key(NamedTuple):
    """What tells a loaded model from another one."""

    bundle: str
    environment: str | None = None
    fields: tuple[Field, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class _Model:
    """A bundle's model and the functions of its scalar features; in a process of its own it has both there."""

    bundle: Bundle
    predict: Predict
    explain: Explain
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    joining: Joining | None = None
    loaded: LoadedModel | None = None
    guest: Guest | None = None

    @property
    def spec(self) -> FeatureSetSpec | None:
        return self.bundle.features

    @property
    def signature(self) -> Signature:
        return self.bundle.signature

    def takes_the_same(self, other: "_Model") -> bool:
        """Whether a row resolved for the other model is one for this model.

        Categories, and whether null ever came, are what each has seen in its training: they change no resolved value.
        Functions may: in another environment they call other versions of libraries.
        """
        if _names(self.signature.inputs) != _names(other.signature.inputs):
            return False
        if self.spec is None or other.spec is None:
            return self.spec is other.spec
        if self.guest is not other.guest and any(isinstance(part, Scalar) for part in self.spec.parts):
            return False
        ours, theirs = ([spec.parts, _names(spec.request), _names(spec.features)] for spec in (self.spec, other.spec))
        return ours == theirs


def _end(models: Iterable[_Model]) -> None:
    for model in models:
        if model.guest is not None:
            model.guest.close()


def _names(fields: Sequence[Field]) -> list[str]:
    return [field.name for field in fields]


class _Reads:
    """What pushed rows are for: the champion's features, and those that only a challenger has.

    Rows that the champion's features can take are never refused for the challenger's sake; its own then miss them.

    Args:
        spec: The champion's features.
        store: Where pushed rows go, None where nothing reads any.
        extra: What only the challenger's features read.
    """

    def __init__(self, spec: FeatureSetSpec | None, store: OnlineStore | None, extra: FeatureSetSpec | None = None):
        sources, views = ({}, {}) if spec is None else checks_of(spec)
        more_sources, more_views = ({}, {}) if extra is None else checks_of(extra)
        self.sources: Mapping[str, RowsCheck] = {**more_sources, **sources}
        self.views: Mapping[str, RowsCheck] = {**more_views, **views}
        self._known = {**sources, **views}.keys()
        self._more: Mapping[str, RowsCheck] = {**more_sources, **more_views}
        self._receive = reads_nothing if spec is None or store is None else build_receiver(spec, store)
        self._receive_more = reads_nothing if extra is None or store is None else build_receiver(extra, store)
        self._said = False

    def receive(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Pushed:
        """Put checked rows into the online store."""
        if name not in self._known and name in self._more:
            return self._receive_more(name, rows)
        received = self._receive(name, rows)
        if name in self._more:
            try:
                self._more[name](rows)
                more = self._receive_more(name, rows)
            except InvalidInput as problem:
                if not self._said:
                    self._said = True
                    _logger.error("The challenger's features miss rows of %s: %s", name, problem)
            else:
                changed, passed_over = received.changed + more.changed, received.passed_over + more.passed_over
                return Received(len(rows), changed, passed_over)
        return received


def _extra(champion: FeatureSetSpec | None, others: Sequence[FeatureSetSpec | None]) -> FeatureSetSpec | None:
    """The windows and views of the other models that the champion does not have, None where there are none."""
    known = [] if champion is None else list(champion.parts)
    parts: list[Part] = []
    for part in (part for other in others if other is not None for part in other.parts):
        if isinstance(part, Windows | View) and part not in known and part not in parts:
            parts.append(part)
    first = next((other for other in others if other is not None), None)
    return msgspec.structs.replace(first, parts=tuple(parts)) if first is not None and parts else None


def _rule(folder: Path, rule: Rule, fields: Sequence[Field]) -> Callable[[list[list[Any]], datetime], list[Any]]:
    """A rule of a revision as it answers rows in the contract's order; its code is kept in a folder of its own."""
    home = folder / fingerprint(rule.sources)[:16]
    for path, text in rule.sources.items():
        target = home / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:  # what lies there is not signed
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{os.getpid()}.part")
            part.write_text(text, encoding="utf-8")
            part.rename(target)
    for found in sorted(home.rglob("*")):
        is_known = found.is_dir() or found.suffix == ".part" or found.relative_to(home).as_posix() in rule.sources
        if found.is_symlink() or not is_known:
            raise Corrupt(f"{found} is not part of the rule that the revision names.", fix=f"Remove {home}.")
    module = code.load_extracted(home, (rule.function.module,))[rule.function.module]
    call = row_caller(rule.function, {rule.function.name: getattr(module, rule.function.name)})
    take = _taker(fields, rule.function.arguments, "rule")
    return lambda rows, at: [call(tuple(take(row)), place) for place, row in enumerate(rows)]


def _sample(loaded: LoadedModel) -> list[list[Any]]:
    """Rows of the reference sample that the model answers by itself as it does others."""
    cases = () if loaded.is_compiled else loaded.cases() or ()
    return [list(case.row) for case in cases if case.answer is not None][:MEASURED_ROWS]


def resolver_over(
    resolve: Resolver, fields: Sequence[Field], spec: FeatureSetSpec, inputs: Sequence[Field]
) -> Callable[[list[list[Any]], datetime], Rows]:
    """From rows in the contract's order to rows in the signature's, by way of the features."""
    ask = _taker(fields, spec.request, "features")
    give = _taker(spec.features, inputs, "model")

    def resolved(rows: list[list[Any]], at: datetime) -> Rows:
        return [give(values) for values in resolve([ask(row) for row in rows], at)]

    return resolved


def _taker(given: Sequence[Field], wanted: Sequence[Field], who: str) -> Callable[[Sequence[Any]], list[Any]]:
    """How the wanted values are taken out of a row of the given ones."""
    names = [field.name for field in given]
    missing = [field.name for field in wanted if field.name not in names]
    if missing:
        raise Corrupt(
            f"The deployed {who} needs {missing[0]!r}, which it would not get.",
            why=near(missing[0], names, what="values at hand"),
            fix="Deploy it with a contract that has the field.",
        )
    at = [names.index(field.name) for field in wanted]
    if at == list(range(len(names))):
        return list
    return lambda row: [row[i] for i in at]


def _functions(folder: Path, modules: Sequence[str], spec: FeatureSetSpec) -> Mapping[str, Callable[..., Any]]:
    """The scalar features' functions by name, from the bundle's own code."""
    if not any(isinstance(part, Scalar) for part in spec.parts):
        return {}
    return functions_in(spec, code.load_extracted(folder / _CODE, tuple(modules)))
