"""A small endpoint out of plain functions: no bundle, no store, no server."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.people import Actor
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, PushedRow, ShadowRow
from slipway.records.reach import Reach
from slipway.records.schema import Field
from slipway.serving import counters as count
from slipway.serving.active import Active
from slipway.serving.app import build
from slipway.serving.callers import Admit, open_to_all
from slipway.serving.contracts import ContractReader
from slipway.serving.counters import Counters
from slipway.serving.old_system import OldSystem
from slipway.serving.row_queue import Counted, RowQueue
from slipway.serving.shadow import Shadow

NOW = datetime(2013, 4, 1, 12, tzinfo=UTC)
CONTRACT = Contract(
    fields=(
        Field("flight_id", "string", nullable=False),
        Field("distance", "float"),
        Field("departure", "datetime"),
    ),
    key=("flight_id",),
    max_rows=5,
    max_bytes=2000,
)


LOG = Counted(count.LOG_WRITTEN, count.LOG_DROPPED, count.LOG_FAILED)
FAILURES = Counted(count.FAILURES_WRITTEN, count.FAILURES_DROPPED, count.FAILURES_LOST)


def a_revision(number: int = 1, **changes: Any) -> Revision:
    plain: dict[str, Any] = {
        "id": f"flights/delays/{number}",
        "project": "flights",
        "name": "delays",
        "created_at": NOW,
        "number": number,
        "environment": "dev",
        "served": Served(model="delays", number=number, bundle=f"{number:x}" * 64),
        "contract": CONTRACT,
        "actor": Actor("ada"),
    }
    return Revision(**{**plain, **changes})


def an_active(revision: Revision | None = None, **changes: Any) -> Active:
    """A model that answers distance / 1000, and 0.5 where the distance is missing."""
    revision = revision or a_revision()

    def resolve(rows: list[list[Any]], at: datetime) -> list[list[Any]]:
        return [[row[1], at.hour] for row in rows]

    def predict(rows: Sequence[Sequence[Any]]) -> list[float]:
        return [0.5 if row[0] is None else row[0] / 1000 for row in rows]

    plain = {"resolve": resolve, "predict": predict, "threshold": 0.6, "contract": ContractReader(revision.contract)}
    return Active(revision=revision, **{**plain, **changes})


@dataclass
class Desk:
    """An app, what it answers with, and what it wrote."""

    active: Active | None = field(default_factory=an_active)
    now: datetime = NOW
    logged: list[PredictionRow] = field(default_factory=list)
    labels: list[LabelRow] = field(default_factory=list)
    events: list[PushedRow] = field(default_factory=list)
    failed: list[FailureRow] = field(default_factory=list)
    shadows: list[ShadowRow] = field(default_factory=list)
    note: str = ""
    closing: bool = False
    append: Callable[[list[PredictionRow]], None] | None = None
    keep: Callable[[list[Any]], None] | None = None
    counters: Counters = field(default_factory=Counters)
    admit: Admit = open_to_all
    reach: Reach = field(default_factory=Reach)
    most_at_once: int = 1000

    def __post_init__(self) -> None:
        def append(rows: list[PredictionRow]) -> None:
            (self.append or self.logged.extend)(rows)

        self.log = RowQueue(append, self.counters, LOG, what="predictions")
        self.failures = RowQueue(self.failed.extend, self.counters, FAILURES, what="failures")
        self.shadow = Shadow(self.shadows.extend, self.counters)
        self.old_system = OldSystem(self.shadows.extend, self.counters)
        self.writer = ThreadPoolExecutor(1)
        self.app = build(
            name="delays",
            current=lambda: self.active,
            now=lambda: self.now,
            log=self.log,
            failures=self.failures,
            shadow=self.shadow,
            append_labels=lambda rows: (self.keep or self.labels.extend)(rows),
            append_events=lambda rows: (self.keep or self.events.extend)(rows),
            writer=self.writer,
            counters=self.counters,
            note=lambda: self.note,
            closing=lambda: self.closing,
            reach=self.reach,
            admit=self.admit,
            most_at_once=self.most_at_once,
            old_system=self.old_system,
        )

    def serve(self, **changes: Any) -> None:
        """Change what answers, or the revision behind it."""
        assert self.active is not None
        of_revision = {k: v for k, v in changes.items() if k in Revision.__struct_fields__ and k != "fallback"}
        revision = msgspec.structs.replace(self.active.revision, **of_revision)
        rest = {k: v for k, v in changes.items() if k not in of_revision}
        self.active = replace(self.active, revision=revision, contract=ContractReader(revision.contract), **rest)

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
                return await client.request(method, path, **request)

        return asyncio.run(go())

    def predict(self, *rows: Mapping[str, Any], **body: Any) -> httpx.Response:
        return self.ask("POST", "/endpoints/delays/predict", json={"rows": rows, **body})

    def close(self) -> None:
        for queue in (self.log, self.failures, self.shadow, self.old_system):
            queue.close()
        self.writer.shutdown()


def error_of(answer: httpx.Response, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    found: dict[str, str] = answer.json()["error"]
    assert set(found) == {"code", "what", "why", "fix", "field"}
    return found
