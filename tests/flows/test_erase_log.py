"""Erasing a person from an endpoint's log."""

from datetime import UTC, datetime

import polars as pl

from slipway.flows.cohorts import CohortReader
from slipway.flows.erase import erase
from slipway.ledger import entries
from slipway.monitoring.cohorts import ASKED
from slipway.operations.erasures import Erase
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.predictions import LabelRow, PredictionRow, PushedRow, ShadowRow
from slipway.records.schema import Field, Signature
from slipway.records.tables import AboutTable
from slipway.tables import prediction_log
from slipway.tables.log_reader import LogReader
from slipway.tables.segments import SegmentWriter, read_segments
from slipway.tables.versions import Origin, overwrite

ADA = "ada@example.org"


def test_an_endpoints_log_is_erased_while_it_is_written(workspace: Workspace) -> None:
    rows = pl.DataFrame({"email": ["p0@example.org", ADA], "age": [30, 31]})
    overwrite(workspace, "people", rows, key=("email",), origin=Origin(about=AboutTable(personal=("email",))))
    contract = Contract(fields=(Field("email", "string"), Field("age", "int")), key=("email",))
    _endpoint(workspace, contract)
    log = workspace.root / "endpoints/flights/scores/log"
    writers = {kind: SegmentWriter(log, kind) for kind in ("predictions", "labels", "shadows", "events")}

    def answered(n: int, email: str) -> PredictionRow:
        return PredictionRow(f"id{n}", 1, 1, 1, "b", email, [email, 30], [30.0], 0.5, None, 1)

    writers["predictions"].append([answered(n, ADA if n == 2 else f"p{n}@x.org") for n in range(4)])
    writers["predictions"].append([answered(9, ADA)])
    writers["labels"].append(
        [LabelRow("", ADA, 1.0, 1, 1), LabelRow("id2", "", 1.0, 1, 1), LabelRow("id0", "", 0.0, 1, 1)]
    )
    writers["shadows"].append(
        [ShadowRow("id2", 1, 1, "challenger", "c", 0.4), ShadowRow("id0", 1, 1, "challenger", "c", 0.4)]
    )
    writers["events"].append(
        [PushedRow("source", "people", 1, {"email": ADA, "age": 3}), PushedRow("source", "o", 1, {"x": 1})]
    )
    _, cursor = read_segments(log, "predictions", PredictionRow)
    reader, cohorts = LogReader(log), CohortReader(log, "classification", datetime(1970, 1, 1, tzinfo=UTC))
    layout = contract, Signature((Field("x", "float"),), ())

    def kept() -> tuple[list[str], int, int]:
        """Whose rows live in the memory of a server, and how many answers and labels are counted there."""
        reader.refresh(lambda number, bundle: layout)
        cohorts.refresh()
        states = cohorts.cohorts.states()
        asked = int(states.filter(pl.col("kind") == ASKED)["n"].sum())
        return reader.answered()["key"].unique().sort().to_list(), asked, cohorts.cohorts.told()["labels"]

    assert kept() == ([ADA, "p0@x.org", "p1@x.org", "p3@x.org"], 4, 3)
    report = erase(workspace, Erase(where=(("email", ADA),), reason="asked"))
    counts = {place.place: place.rows for place in report.places}
    assert counts["prediction log of scores"] == 2
    assert (counts["labels of scores"], counts["shadow answers of scores"], counts["pushed events of scores"]) == (
        2,
        1,
        1,
    )
    assert report.left == 0
    assert not [path for path in log.rglob("*") if path.is_file() and ADA.encode() in path.read_bytes()]
    writers["predictions"].append([answered(10, "new@x.org")])
    left, _ = read_segments(log, "predictions", PredictionRow)
    assert [row.id for row in left] == ["id0", "id1", "id3", "id10"]
    later, _ = read_segments(log, "predictions", PredictionRow, cursor)
    assert [row.id for row in later] == ["id10"], "who remembers how far it has read goes on there"
    assert prediction_log.labels(log)["prediction"].to_list() == ["id0"]
    assert kept() == (["new@x.org", "p0@x.org", "p1@x.org", "p3@x.org"], 4, 1), "nor in what a server keeps"
    assert ADA not in str(reader._labels.frame().rows())


def _endpoint(workspace: Workspace, contract: Contract) -> None:
    revision = Revision(
        id="flights/scores/1", project="flights", name="scores", created_at=workspace.clock.now(), number=1,
        environment="dev", served=Served(model="scores", number=1, bundle="b" * 64), contract=contract,
        actor=workspace.actor,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, revision)
        tx.set_ref("flights", "endpoint", "scores", revision.id, expect=None)
