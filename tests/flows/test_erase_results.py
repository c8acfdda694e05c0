"""Stored results of steps and runs in which a person is: frames, plain values, models, and what cannot be looked into."""

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.flows.erase import erase
from slipway.hashing import fingerprint
from slipway.ledger import archive, artifacts, entries
from slipway.operations.erasures import Erase, ErasureReport
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, CodeVersion, Environment, Run
from slipway.tables.catalog import head
from slipway.tables.row_batches import batches_of
from slipway.tables.versions import overwrite

ADA = "ada@example.org"
ROW = {"email": ADA, "age": 36}
OTHER = {"email": "bob@example.org", "age": 40}


@dataclass(frozen=True, slots=True)
class Customer:
    email: str
    age: int


@pytest.fixture
def people(workspace: Workspace) -> Workspace:
    overwrite(workspace, "people", pl.DataFrame([ROW, OTHER]), key=("email",))
    return workspace


def keep(workspace: Workspace, *values: Any) -> Run:
    """A run with results as a step has them, or with bytes as they are."""
    kept = []
    for number, value in enumerate(values):
        if isinstance(value, bytes):
            stored = workspace.blobs.put(value)
            kept.append(Artifact(name="file", digest=stored, fingerprint=stored, format="bytes", size_bytes=1))
        else:
            encoded = artifacts.encode(f"result{number}", value, lambda one: fingerprint(repr(one)))
            kept += artifacts.store(workspace.blobs, encoded)
    run = Run(
        id="a" * 32, project="flights", name="train", created_at=workspace.clock.now(), started_at=workspace.clock.now(),
        actor=workspace.actor, code=CodeVersion(), environment=Environment(python="3.11", platform="Linux"),
        artifacts=tuple(kept),
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, run)
    return run


def ask(workspace: Workspace, **where: str) -> ErasureReport:
    counted = erase(workspace, Erase(where=tuple(where.items()), dry_run=True))
    report = erase(workspace, Erase(where=tuple(where.items()), reason="request 17"))
    assert report.left == 0
    assert _results(report) == _results(counted)
    return report


def _results(report: ErasureReport) -> tuple[int, int]:
    found = [place for place in report.places if place.place == "stored results of steps"]
    return (found[0].rows, found[0].files) if found else (0, 0)


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ([ROW, OTHER, ROW], 2),
        ({"run": {"best": [{"customer": ROW}]}, "n": 1}, 1),
        ((Customer(ADA, 36), {"others": [Customer("bob@example.org", 1)]}), 1),
        ({1: ROW}, 1),
        ({"email": ["bob@example.org", ADA], "age": [40, 36]}, 1),
    ],
)
def test_a_plain_value_with_the_person_goes_as_a_whole(people: Workspace, value: Any, rows: int) -> None:
    run = keep(people, value, [OTHER])
    (gone, stays) = [one.digest for one in run.artifacts]
    report = ask(people, email=ADA)
    assert _results(report) == (rows, 1)
    assert (people.blobs.has(gone), people.blobs.has(stays)) == (False, True)
    assert report.kept == ()


def test_a_record_is_theirs_by_all_columns_and_by_their_types(people: Workspace) -> None:
    at = datetime(2013, 1, 1, 5, tzinfo=UTC)
    frame = pl.DataFrame({"id": [1, 2], "at": [at, at]})
    overwrite(people, "events", frame, key=("id", "at"))
    half = keep(people, [{"id": 2}, {"id": 1, "at": at}, {"id": 2, "at": at.replace(hour=6)}])
    assert _results(ask(people, id="2", at="2013-01-01T05:00:00Z")) == (0, 0)
    assert people.blobs.has(half.artifacts[0].digest)
    keep(people, [{"id": Decimal(2), "at": at}, {"id": 2, "at": "2013-01-01T05:00:00Z"}])
    assert _results(ask(people, id="2", at="2013-01-01T05:00:00Z")) == (2, 1)
    overwrite(people, "days", pl.DataFrame({"day": [date(2013, 1, 2)]}), key=("day",))
    keep(people, {"day": date(2013, 1, 2)})
    assert _results(ask(people, day="2013-01-02")) == (1, 1)


def test_results_without_columns_are_counted_and_not_claimed(people: Workspace) -> None:
    closed = [
        {"email": {ADA: len}},  # a function: pickled
        np.array([1.0, 2.0]),
        pl.Series("email", [ADA]),
        "a text about somebody",
        [1, 2, 3],
        b"\x00\x01 bytes of another program",
        archive.pack({"notes.txt": b"somebody"}),
    ]
    batches = batches_of(people, head(people, "people"))
    looked_into = [0.75, None, [], (pl.DataFrame([OTHER]), pl.DataFrame([OTHER])), {"auc": 0.7}, [OTHER], batches]
    keep(people, *closed, *looked_into)
    report = ask(people, email=ADA)
    assert report.kept == (
        "7 stored results have no columns to find a person by (pickles, arrays, texts, files of other kinds): "
        "not looked into.",
    )


def test_a_file_is_looked_into_by_what_it_is(people: Workspace) -> None:
    sink = io.BytesIO()
    pl.DataFrame([ROW]).write_parquet(sink)
    run = keep(people, sink.getvalue(), msgspec.json.encode([ROW, OTHER]))
    assert _results(ask(people, email=ADA)) == (2, 2)
    assert not any(people.blobs.has(one.digest) for one in run.artifacts)
