"""One worker of an endpoint: everything that a request needs, built from the endpoint's folder alone.

`python -m slipway.hosts.endpoint_worker FOLDER INDEX LISTENER SUPERVISOR` is what `hosts.endpoint` starts. It loads no
pipeline, no ledger, no SQLAlchemy and no Polars; a test counts.
"""

import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from slipway import code, plugins
from slipway.errors import BackendError, Corrupt, near
from slipway.features.extracted import functions_in
from slipway.features.online import Resolver, build_receiver, build_resolver
from slipway.hosts.endpoint import keys_folder, open_signer, start_logging
from slipway.hosts.store_clock import open_clock
from slipway.models import bundle as bundles
from slipway.ports.clock import Clock
from slipway.ports.online_store import OnlineStore
from slipway.ports.signer import Signer
from slipway.records.endpoints import Revision
from slipway.records.features import FeatureSetSpec, RequestField, Scalar
from slipway.records.schema import Field
from slipway.serving.active import Active, Rows, reads_nothing
from slipway.serving.app import build
from slipway.serving.contracts import ContractReader
from slipway.serving.counters import Counters
from slipway.serving.http import for_callers
from slipway.serving.prediction_log import PredictionLog
from slipway.serving.pushed_rows import checks_of
from slipway.serving.supervisor import COUNTERS_FILE
from slipway.serving.swap import Swap
from slipway.serving.worker import run_worker
from slipway.serving.worker_state import CANNOT_LOAD, WorkerState, state_file
from slipway.tables.segments import SegmentWriter

__all__ = ["Loader", "main"]

_BUNDLES = "bundles"
_LOG = "log"
_CODE = "code"
_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Load what is deployed and answer until told to stop; returns the process's exit code."""
    start_logging()
    folder, index, listener, supervisor = Path(arguments[0]), *map(int, arguments[1:4])
    return _work(folder, index, socket.socket(fileno=listener), supervisor)


def _work(folder: Path, index: int, listener: socket.socket, supervisor: int) -> int:
    state = _State(state_file(folder, index))
    counters = Counters(folder / COUNTERS_FILE, index)
    signer = open_signer(folder)
    loader = Loader(folder, signer)
    swap = Swap(folder, signer, loader.load, counters, state.serves)
    try:
        swap.load_first()
    except Exception as problem:
        _logger.error("Worker %d has nothing to serve: %s", index, problem)
        return CANNOT_LOAD
    assert swap.active is not None
    name = swap.active.revision.name
    predictions, labels, events = (SegmentWriter(folder / _LOG, kind) for kind in ("predictions", "labels", "events"))
    log = PredictionLog(predictions.append, counters)
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    clock = open_clock(keys_folder(folder).parent)
    run_worker(
        lambda closing: build(
            name=name,
            current=lambda: swap.active,
            now=lambda: _present(clock),
            log=log,
            append_labels=labels.append,
            append_events=events.append,
            writer=writer,
            counters=counters,
            note=lambda: swap.note,
            closing=closing,
        ),
        swap,
        listener,
        supervisor=supervisor,
        ready=lambda: state.accepts(swap),
    )
    log.close()
    writer.shutdown()
    for segments in (predictions, labels, events):
        segments.close()
    loader.close()
    return 0


def _present(clock: Clock) -> datetime:
    """Business time. A simulation's clock that cannot be read is told to the log, not to callers."""
    try:
        return clock.now()
    except (BackendError, Corrupt) as problem:
        raise for_callers(problem) from problem


class _State:
    """What the supervisor is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ready = False

    def serves(self, swap: Swap) -> None:
        said = WorkerState(ready=self._ready, revision=swap.number, refused=swap.refused, note=swap.note)
        said.write(self._path)

    def accepts(self, swap: Swap) -> None:
        self._ready = True
        self.serves(swap)


class Loader:
    """Turns revisions into what answers.

    Args:
        folder: The endpoint's folder.
        signer: Verifies bundles.
    """

    def __init__(self, folder: Path, signer: Signer) -> None:
        self._folder = folder
        self._signer = signer
        self._store: OnlineStore | None = None

    def load(self, revision: Revision) -> Active:
        """Verify and load a revision's bundle, and ask it its reference sample.

        Raises:
            SlipwayError: It is altered or not signed, does not answer as it did when it was packaged, or does not fit the contract.
        """
        folder = self._folder / _BUNDLES / revision.served.bundle
        model = bundles.load(folder, expect=revision.served.bundle, signer=self._signer)
        model.check_sample()
        spec = model.bundle.features
        active = partial(
            Active,
            revision=revision,
            contract=ContractReader(revision.contract),
            predict=model.predict_rows,
            threshold=model.decision.threshold,
        )
        if spec is None:
            take = _taker(revision.contract.fields, model.signature.inputs, "model")
            return active(resolve=lambda rows, at: [take(row) for row in rows])
        store = self._open_store(spec)
        resolve = build_resolver(spec, _functions(folder, model.bundle.modules, spec), store)
        sources, views = checks_of(spec)
        return active(
            resolve=_resolver(resolve, revision.contract.fields, spec, model.signature.inputs),
            sources=sources,
            views=views,
            receive=reads_nothing if store is None else build_receiver(spec, store),
        )

    def close(self) -> None:
        """Close the online store."""
        if self._store is not None:
            self._store.close()

    def _open_store(self, spec: FeatureSetSpec) -> OnlineStore | None:
        if all(isinstance(part, Scalar | RequestField) for part in spec.parts):
            return None
        if self._store is None:
            self._store = plugins.load("online", "sqlite")(self._folder / "online.db")
        return self._store


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
