from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.records.endpoints import Contract
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field, Signature
from slipway.tables.prediction_log import joined, labels, predictions
from slipway.tables.segments import SegmentWriter

AT = datetime(2013, 4, 1, 12, tzinfo=UTC)
AT_US = int(AT.timestamp()) * 1_000_000
CONTRACT = Contract(
    fields=(
        Field("carrier", "category", False, ("AA", "UA")),
        Field("distance", "float"),
        Field("departure", "datetime"),
        Field("day", "date"),
        Field("wait", "duration"),
        Field("key", "string"),
    )
)
SIGNATURE = Signature(
    (Field("hour", "int"), Field("distance", "float"), Field("carrier", "category"), Field("score", "float")), ()
)
REQUEST = ["ZZ", 100.0, AT, date(2013, 4, 1), timedelta(minutes=5), "k"]


def answer(id: str = "p1", **more: Any) -> PredictionRow:
    given: dict[str, Any] = {
        "id": id,
        "at_us": AT_US,
        "answered_us": AT_US + 5,
        "version": 3,
        "bundle": "ab" * 8,
        "key": "UA1",
        "request": REQUEST,
        "features": [12, 100.0, "ZZ", 0.5],
        "score": 0.25,
        "decision": False,
        "fallback": "",
    }
    return PredictionRow(**(given | more))


def write(folder: Path, kind: str, rows: list[Any]) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()


def test_answers_become_typed_columns(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer(), answer("p2", features=[None] * 4, decision=None, request=REQUEST[:1])])
    frame = predictions(tmp_path, CONTRACT, SIGNATURE)
    assert frame.row(0, named=True) == {
        "id": "p1",
        "at": AT,
        "answered_at": AT + timedelta(microseconds=5),
        "version": 3,
        "bundle": "ab" * 8,
        "key": "UA1",
        "score": 0.25,
        "decision": False,
        "fallback": "",
        "revision": 0,
        "arm": "champion",
        "propensity": 1.0,
        "log_share": 1.0,
        "took_us": 0,
        "departure": AT,
        "day": date(2013, 4, 1),
        "wait": timedelta(minutes=5),
        "request.key": "k",
        "hour": 12,
        "distance": 100.0,
        "carrier": "ZZ",
        "feature.score": 0.5,
    }
    assert frame.row(1, named=True)["hour"] is frame.row(1, named=True)["day"] is None
    assert frame.schema["hour"] == pl.Int64
    assert predictions(tmp_path / "none", CONTRACT, SIGNATURE).schema == frame.schema


def test_models_with_other_inputs_are_read_by_themselves(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer(), answer("p2", bundle="cd" * 8, features=[1])])
    with pytest.raises(InvalidInput, match="another number of values"):
        predictions(tmp_path, CONTRACT, SIGNATURE)
    assert predictions(tmp_path, CONTRACT, SIGNATURE, bundle="ab" * 32)["id"].to_list() == ["p1"]
    write(tmp_path, "predictions", [answer("p3", features=["noon", 1.0, "AA", 0.0])])
    with pytest.raises(InvalidInput, match="'hour' is no int"):
        predictions(tmp_path, CONTRACT, SIGNATURE, bundle="ab" * 32)


def label(prediction: str, key: str, value: float, observed: int, received: int = 0) -> LabelRow:
    return LabelRow(prediction=prediction, key=key, value=value, observed_us=observed, received_us=received)


def test_the_label_observed_last_counts_and_revisions_are_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        "labels",
        [
            label("", "k", 1.0, 20),
            label("p", "", 5.0, 1),
            label("", "k", 2.0, 10, received=99),
            label("", "k", 3.0, 20, received=1),
        ],
    )
    frame = labels(tmp_path)
    assert frame.select("prediction", "key", "value", "revisions").rows() == [("", "k", 3.0, 3), ("p", "", 5.0, 1)]
    assert frame["observed_at"].to_list()[0] == datetime(1970, 1, 1, 0, 0, 0, 20, tzinfo=UTC)
    assert labels(tmp_path / "none").schema == frame.schema


IDS, KEYS = ["p0", "p1", "p2", ""], ["k0", "k1", ""]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(IDS[:3]), st.sampled_from(KEYS)), max_size=6),
    st.lists(
        st.tuples(st.sampled_from(IDS), st.sampled_from(KEYS), st.integers(0, 9), st.integers(0, 3), st.integers(0, 3)),
        max_size=8,
    ),
)
def test_each_answer_keeps_its_place_and_gets_its_latest_label(
    tmp_path_factory: pytest.TempPathFactory, answers: list[tuple[str, str]], given_labels: list[tuple[Any, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    write(folder, "predictions", [answer(id, key=key) for id, key in answers])
    rows = [label(p, "" if p else k, float(v), o, r) for p, k, v, o, r in given_labels]
    write(folder, "labels", rows)
    frame = joined(predictions(folder, CONTRACT, SIGNATURE), labels(folder))
    assert frame.select("id", "key").rows() == answers
    for (id, key), found in zip(answers, frame["label"].to_list(), strict=True):
        fitting = [r for r in rows if r.prediction == id or (r.prediction == "" and r.key == key and key)]
        # Of labels at one instant, one for the id goes before one for the key, and the greater one.
        order = [(r.observed_us, r.received_us, bool(r.prediction), r.value) for r in fitting]
        expected = fitting[max(range(len(fitting)), key=order.__getitem__)].value if fitting else None
        assert found == expected
