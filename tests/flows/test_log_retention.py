"""Days that are older than a log is kept go, and the audit log says so; monitors see rows of equal weight."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.flows.erase import erase
from slipway.flows.log_retention import drop_old_days
from slipway.flows.replay_sources import log_source
from slipway.flows.watch import _evenly
from slipway.ledger import entries
from slipway.operations.erasures import Erase
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, LogSpec, Revision, Served
from slipway.records.features import FeatureSetSpec
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field
from slipway.records.tables import AboutTable
from slipway.serving.log_policy import KEY_FILE, LogPolicy
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.tables.log_rolling import roll
from slipway.tables.log_rows import read_rows
from slipway.tables.log_sampling import is_logged
from slipway.tables.segments import SegmentWriter
from slipway.tables.strays import stray_labels
from slipway.tables.versions import Origin, overwrite

FIELDS = (Field("email", "string"), Field("age", "int"))
CONTRACT = Contract(fields=FIELDS, key=("email",))
DAY_US = 86_400_000_000


def answered(at: datetime, n: int, email: str = "") -> PredictionRow:
    us, email = int(at.timestamp()) * 1_000_000, email or f"p{n}@x.org"
    return PredictionRow(f"id{n}", us, us, 1, "b" * 16, email, [email, 30], [30.0], 0.5, None, 1)


def deployed(workspace: Workspace, log: LogSpec) -> tuple[Revision, Path]:
    revision = Revision(
        id="flights/scores/1", project="flights", name="scores", created_at=workspace.clock.now(), number=1,
        environment="dev", served=Served(model="scores", number=1, bundle="b" * 64), contract=CONTRACT,
        actor=workspace.actor, log=log,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, revision)
        tx.set_ref("flights", "endpoint", "scores", revision.id, expect=None)
    folder = workspace.root / "endpoints/flights/scores/log"
    write_layout(folder, LogLayout(1, "b" * 16, FIELDS, (Field("age", "float"),)))
    return revision, folder


def write(folder: Path, kind: str, rows: list[Any]) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()


def test_days_that_are_too_old_go_and_a_replay_says_what_is_missing(workspace: Workspace) -> None:
    revision, log = deployed(workspace, LogSpec(keep_us=10 * DAY_US))
    now = datetime(2013, 4, 20, 15, tzinfo=UTC)
    write(log, "predictions", [answered(now - timedelta(days=n), n) for n in range(15)])
    roll(log)
    assert drop_old_days(workspace, revision, now) == 4
    assert drop_old_days(workspace, revision, now) == 0
    left = read_rows(log, "predictions", PredictionRow)[0]
    assert sorted(int(row.id[2:]) for row in left) == list(range(11)), "the tenth day is whole"
    with workspace.ledger.read() as tx:
        (event,) = [one for one in tx.events() if one.verb == "endpoints.drop_log"]
    assert event.body == {"days": 4, "first": "2013-04-06", "last": "2013-04-09"}
    spec = FeatureSetSpec(name="f", parts=())
    found = log_source(log, CONTRACT, spec, since=now - timedelta(days=30), until=now + timedelta(days=1))
    assert found.questions.height == 11
    assert found.told == ("Days before 2013-04-10 were dropped from the log, which is not kept for ever.",)
    with pytest.raises(InvalidInput, match="were dropped"):
        log_source(log, CONTRACT, spec, since=now - timedelta(days=30), until=now - timedelta(days=20))


def test_a_log_that_is_kept_for_ever_is(workspace: Workspace) -> None:
    revision, log = deployed(workspace, LogSpec())
    write(log, "predictions", [answered(datetime(2001, 1, 1, tzinfo=UTC), 1)])
    roll(log)
    assert drop_old_days(workspace, revision, datetime(2030, 1, 1, tzinfo=UTC)) == 0
    assert len(read_rows(log, "predictions", PredictionRow)[0]) == 1


def test_a_monitor_that_looks_further_back_than_the_log_is_kept_is_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="'drift' looks 28 days back"):
        sw.Endpoint("scores", log=sw.Log(keep="10d"), monitors=[sw.Drift()])
    sw.Endpoint("scores", log=sw.Log(keep="30d"), monitors=[sw.Drift()])


def test_a_person_of_whom_only_hashes_stand_in_the_log_is_erased_from_it(workspace: Workspace) -> None:
    rows = pl.DataFrame({"email": ["p0@x.org", "ada@x.org"], "age": [30, 31]})
    overwrite(workspace, "people", rows, key=("email",), origin=Origin(about=AboutTable(personal=("email",))))
    spec = LogSpec(redact=True, redacted=("email",))
    _, log = deployed(workspace, spec)
    (log.parent / KEY_FILE).write_bytes(b"k" * 32)
    policy = LogPolicy(spec, FIELDS, ("email",), {"b" * 16: ()}, b"k" * 32)
    now = datetime(2013, 4, 20, tzinfo=UTC)
    write(log, "predictions", policy.written([answered(now, 0), answered(now, 1, "ada@x.org")]))
    roll(log)
    write(log, "predictions", policy.written([answered(now, 2, "ada@x.org")]))
    write(log, "labels", policy.labels([LabelRow("", "ada@x.org", 1.0, 1, 1), LabelRow("", "p0@x.org", 1.0, 1, 1)]))
    report = erase(workspace, Erase(where=(("email", "ada@x.org"),), reason="asked"))
    counts = {place.place: place.rows for place in report.places}
    assert (counts["prediction log of scores"], counts["labels of scores"]) == (2, 1)
    assert [row.id for row in read_rows(log, "predictions", PredictionRow)[0]] == ["id0"]


def test_a_label_of_a_row_that_was_not_logged_is_no_stray(tmp_path: Path) -> None:
    keys = [f"k{n}" for n in range(40)]
    write(tmp_path, "labels", [LabelRow("", key, 1.0, 1, 1) for key in keys])
    logged = [key for key in keys if is_logged(key, 0.5)]
    write(tmp_path, "predictions", [answered(datetime(2013, 1, 1, tzinfo=UTC), 1, key) for key in logged[1:]])
    assert stray_labels(tmp_path, 0.5).labels == 1
    assert stray_labels(tmp_path).labels == len(keys) - len(logged) + 1


def test_monitors_see_rows_that_stand_for_as_many_each() -> None:
    shares = [1.0] * 200 + [0.5] * 100
    rows = pl.DataFrame({"id": [f"p{n}" for n in range(300)], "key": [""] * 300, "log_share": shares})
    even = _evenly(rows)
    assert even["id"].to_list() == [f"p{n}" for n in range(300) if is_logged(f"p{n}", 0.5)]
    assert _evenly(rows.filter(pl.col("log_share") == 1)).height == 200
