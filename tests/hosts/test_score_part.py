"""One part of a scoring: rows of a table are read as the requests that callers would send, whatever types columns have."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import endpoint_folder as ef
import msgspec
import polars as pl
import pytest

from slipway.hosts.endpoint_loader import Loader
from slipway.hosts.score_part import Job, PartTold, score_part
from slipway.ledger import archive
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import BatchSpec, Revision
from slipway.records.predictions import PredictionRow
from slipway.serving.contracts import ContractReader
from slipway.tables.segments import read_segments

SPEC = BatchSpec(table="flights", into="scored")


@pytest.fixture
def revision(workspace: Workspace) -> Revision:
    return ef.deploy_plain(workspace, batch=SPEC)


def job(workspace: Workspace, revision: Revision, **changes: Any) -> bytes:
    home = ef.folder_of(workspace) / "bundles" / revision.served.bundle
    return msgspec.json.encode(
        Job(
            **{
                "scoring": "s1",
                "revision": revision,
                "homes": {revision.served.bundle: str(home)},
                "begun_at": ef.NOW,
                "is_here": True,
                **changes,
            }
        )
    )


def scores(
    given: bytes, rows: pl.DataFrame, bundles: dict[str, bytes] | None = None
) -> tuple[pl.DataFrame, PartTold, bytes]:
    frame, log, _, _, told = score_part(given, rows, 40, bundles or {})
    return frame, msgspec.json.decode(told, type=PartTold), log


def asked(workspace: Workspace, revision: Revision, rows: Sequence[dict[str, Any]]) -> list[float]:
    """What an endpoint of the revision answers to a request with these rows."""
    loader = Loader(ef.folder_of(workspace), workspace.signer)
    active = loader.load(revision)
    loader.close()
    read = ContractReader(revision.contract).decode(msgspec.json.encode({"rows": rows})).rows
    return [float(score) for score in active.predict(active.resolve(read, ef.NOW))]


COLUMNS = {
    "floats": pl.Series("a", [1.5, 2.0, 0.1], pl.Float64),
    "single": pl.Series("a", [1.5, 2.0, 0.1], pl.Float32),
    "whole": pl.Series("a", [1, 2, -3], pl.Int16),
    "decimal": pl.Series("a", ["1.50", "2.00", "0.10"], pl.String).cast(pl.Decimal(10, 2)),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_numbers_is_what_a_caller_would_send(workspace: Workspace, revision: Revision, kind: str) -> None:
    frame = pl.DataFrame({"flight_id": ["A", "B", "C"], "b": [1.0, 2.0, 3.0], "a": COLUMNS[kind]})
    sent = [{**row, "a": float(row["a"])} for row in frame.select("flight_id", "b", "a").to_dicts()]
    found, told, _ = scores(job(workspace, revision), frame)
    assert (told.rows, told.refused) == (3, 0)
    assert found["score"].to_list() == asked(workspace, revision, sent)
    assert found["decision"].to_list() == [score >= 0.05 for score in found["score"]]
    assert found["prediction"].to_list() == ["s1-40", "s1-41", "s1-42"]


def test_nan_and_infinity_are_null_which_this_model_refuses(workspace: Workspace, revision: Revision) -> None:
    values = [1.0, float("nan"), float("inf"), None]
    frame = pl.DataFrame({"flight_id": list("ABCD"), "b": [1.0] * 4, "a": values})
    found, told, _ = scores(job(workspace, revision), frame)
    assert found["score"].is_null().to_list() == [False, True, True, True]
    assert list(told.reasons.values()) == [3]


def test_what_no_caller_could_send_is_refused_row_by_row_and_told_without_values(
    workspace: Workspace, revision: Revision
) -> None:
    frame = pl.DataFrame({"flight_id": ["A", None, "secret"], "b": [1.0, 2.0, 3.0], "a": ["1.5", "two", "three"]})
    found, told, log = scores(job(workspace, revision), frame)
    assert found["score"].null_count() == 3
    assert found["reason"].to_list()[0] == "a does not fit: Expected a number or null."
    assert told.refused == sum(told.reasons.values()) == 3
    assert not any("secret" in why or "1.5" in why or "two" in why for why in told.reasons)
    assert log == b""


def test_a_model_that_fails_on_a_row_fails_on_no_other(
    workspace: Workspace, revision: Revision, tmp_path: Path
) -> None:
    rows = pl.DataFrame({"flight_id": [f"F{n}" for n in range(1500)], "b": [1.0] * 1500, "a": [1.0] * 1500})
    rows = rows.with_columns(a=pl.when(pl.int_range(1500) != 700).then("a"))
    found, told, log = scores(job(workspace, revision), rows)
    assert (told.rows, told.refused) == (1500, 1)
    assert found["reason"].is_not_null().arg_true().to_list() == [700]
    assert found["score"].n_unique() == 2
    (tmp_path / "predictions-1.seg").write_bytes(log)
    logged, _ = read_segments(tmp_path, "predictions", PredictionRow)
    assert [row.key for row in logged] == [f"F{n}" for n in range(1500) if n != 700]


def test_a_bundle_that_comes_along_answers_as_the_one_in_its_folder(workspace: Workspace, revision: Revision) -> None:
    frame = pl.DataFrame({"flight_id": ["A", "B"], "b": [1.0, 2.0], "a": [0.5, 0.7]})
    home = ef.folder_of(workspace) / "bundles" / revision.served.bundle
    files = {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    away = job(workspace, revision, homes={}, is_here=False)
    here, _, _ = scores(job(workspace, revision), frame)
    there, _, _ = scores(away, frame, {revision.served.bundle: archive.pack(files)})
    assert here.equals(there)
    moved = job(workspace, revision, is_here=False)
    assert scores(moved, frame)[0].equals(here)


def test_the_decision_time_of_a_row_is_logged(workspace: Workspace, tmp_path: Path) -> None:
    revision = ef.deploy_plain(workspace, batch=msgspec.structs.replace(SPEC, time="at"))
    moments = pl.Series("at", [datetime(2013, 4, 1, 8), None]).dt.replace_time_zone("America/New_York")
    frame = pl.DataFrame({"flight_id": ["A", "B"], "b": [1.0, 2.0], "a": [0.5, 0.5], "at": moments})
    found, told, log = scores(job(workspace, revision), frame)
    (tmp_path / "predictions-1.seg").write_bytes(log)
    logged, _ = read_segments(tmp_path, "predictions", PredictionRow)
    assert [row.at_us for row in logged] == [int(datetime(2013, 4, 1, 12, tzinfo=UTC).timestamp() * 1e6)]
    assert told.reasons == {"its decision time is missing": 1}
    assert found["at"].equals(moments)
