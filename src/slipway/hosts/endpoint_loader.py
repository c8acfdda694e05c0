"""From a revision to what answers: its bundles verified, loaded and warm, with their features over one online store."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway import code
from slipway.errors import Corrupt, InvalidInput, near
from slipway.features.extracted import functions_in
from slipway.features.online import Received, Resolver, build_receiver, build_resolver
from slipway.hosts.online_stores import open_to_serve
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel
from slipway.ports.online_store import OnlineStore
from slipway.ports.signer import Signer
from slipway.records.endpoints import EMBEDDED, Challenger, Revision
from slipway.records.features import FeatureSetSpec, RequestField, Scalar, View, Windows
from slipway.records.feeds import feeds_of
from slipway.records.schema import Field
from slipway.serving.active import Active, LoadedChallenger, Resolve, Rows, RowsCheck, reads_nothing
from slipway.serving.active import Received as Pushed
from slipway.serving.contracts import ContractReader
from slipway.serving.feed_counters import FeedCounters
from slipway.serving.online_place import read_place
from slipway.serving.pushed_rows import checks_of

__all__ = ["Loader"]

_BUNDLES = "bundles"
_CODE = "code"
_logger = logging.getLogger(__name__)


class Loader:
    """Turns revisions into what answers.

    A bundle is verified and loaded once as long as revision after revision names it, whichever arm it is: a step of a
    roll-out, a promotion and a stop load nothing.

    Args:
        folder: The endpoint's folder.
        signer: Verifies bundles.
        slot: The index of the worker that counts.
    """

    def __init__(self, folder: Path, signer: Signer, slot: int = 0) -> None:
        self._folder = folder
        self._slot = slot
        self._signer = signer
        self._store: OnlineStore | None = None
        self._place = EMBEDDED
        self._stores: list[OnlineStore] = []
        self._known: dict[str, _Model] = {}

    def load(self, revision: Revision) -> Active:
        """Verify and load a revision's bundles, and ask each its reference sample, where that was not erased.

        Raises:
            SlipwayError: One is altered or not signed, does not answer as it did when it was packaged, or does not fit the
                contract.
        """
        wanted = [revision.served.bundle, *([revision.challenger.served.bundle] if revision.challenger else [])]
        models = {digest: self._known.get(digest) or self._load(digest) for digest in wanted}
        champion = models[revision.served.bundle]
        reads = _Reads(champion.spec, None if champion.spec is None else self._open_store(champion.spec))
        challenger = None
        if revision.challenger is not None:
            rival = models[revision.challenger.served.bundle]
            challenger = self._challenger(revision, revision.challenger, champion, rival)
            if extra := _extra(champion.spec, rival.spec):
                reads = _Reads(champion.spec, self._open_store(extra), extra)
        feeds = FeedCounters(self._folder, feeds_of(champion.spec), self._slot)
        active = Active(
            revision=revision,
            contract=ContractReader(revision.contract),
            resolve=self._resolve(champion, revision.contract.fields, feeds),
            feeds=feeds,
            predict=champion.loaded.predict_rows,
            threshold=champion.loaded.decision.threshold,
            sources=reads.sources,
            views=reads.views,
            receive=reads.receive,
            challenger=challenger,
        )
        self._known = models
        return active

    def close(self) -> None:
        """Close the online stores."""
        for store in self._stores:
            store.close()

    def _load(self, digest: str) -> "_Model":
        folder = self._folder / _BUNDLES / digest
        loaded = bundles.load(folder, expect=digest, signer=self._signer)
        checked = loaded.check_sample()
        if checked.is_erased:
            _logger.warning("The model %s is served without its self-check: %s.", loaded.bundle.model, checked.sentence)
        spec = loaded.bundle.features
        return _Model(loaded, {} if spec is None else _functions(folder, loaded.bundle.modules, spec))

    def _challenger(
        self, revision: Revision, plan: Challenger, champion: "_Model", challenger: "_Model"
    ) -> LoadedChallenger:
        resolve = self._resolve(challenger, revision.contract.fields)
        return LoadedChallenger(
            plan=plan,
            predict=challenger.loaded.predict_rows,
            threshold=challenger.loaded.decision.threshold,
            resolve=None if challenger.takes_the_same(champion) else resolve,
        )

    def _resolve(self, model: "_Model", fields: Sequence[Field], feeds: FeedCounters | None = None) -> Resolve:
        inputs = model.loaded.signature.inputs
        if model.spec is None:
            take = _taker(fields, inputs, "model")
            return lambda rows, at: [take(row) for row in rows]
        cells = feeds.cells if feeds is not None else None
        resolve = build_resolver(model.spec, model.functions, self._open_store(model.spec), cells=cells)
        return _resolver(resolve, fields, model.spec, inputs)

    def _open_store(self, spec: FeatureSetSpec) -> OnlineStore | None:
        if all(isinstance(part, Scalar | RequestField) for part in spec.parts):
            return None
        place = read_place(self._folder)
        if self._store is None or (place.url, place.namespace) != (self._place.url, self._place.namespace):
            # A former store stays open: requests on the former revision may still ask it.
            self._store, self._place = open_to_serve(self._folder), place
            self._stores.append(self._store)
        return self._store


@dataclass(frozen=True, slots=True)
class _Model:
    """A bundle's model and the functions of its scalar features."""

    loaded: LoadedModel
    functions: Mapping[str, Callable[..., Any]]

    @property
    def spec(self) -> FeatureSetSpec | None:
        return self.loaded.bundle.features

    def takes_the_same(self, other: "_Model") -> bool:
        """Whether a row resolved for the other model is one for this model.

        Categories, and whether null ever came, are what each has seen in its training: they change no resolved value.
        """
        if _names(self.loaded.signature.inputs) != _names(other.loaded.signature.inputs):
            return False
        if self.spec is None or other.spec is None:
            return self.spec is other.spec
        ours, theirs = ([spec.parts, _names(spec.request), _names(spec.features)] for spec in (self.spec, other.spec))
        return ours == theirs


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


def _extra(champion: FeatureSetSpec | None, challenger: FeatureSetSpec | None) -> FeatureSetSpec | None:
    """The challenger's windows and views that the champion does not have, None where there are none."""
    if challenger is None:
        return None
    known = () if champion is None else champion.parts
    parts = tuple(part for part in challenger.parts if isinstance(part, Windows | View) and part not in known)
    return msgspec.structs.replace(challenger, parts=parts) if parts else None


def _resolver(
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
