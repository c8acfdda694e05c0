"""A stock client of the Open Inference Protocol, and Arrow, against the real process: the very answers of training."""

from collections.abc import Iterator
from typing import Any

import endpoint_folder as ef
import httpx
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import ipc
from sklearn.ensemble import HistGradientBoostingClassifier

from slipway.backends.process_launcher import ProcessLauncher
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field

pytestmark = pytest.mark.full
http = pytest.importorskip("tritonclient.http")
CONTRACT = (
    Field("flight_id", "string", nullable=False),
    Field("carrier", "string"),
    Field("hour", "int"),
    Field("distance", "float"),
)


def rows_of_training() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    carriers = rng.choice(["AA", "UA", "B6", ""], 300)
    late = (carriers == "") | (rng.random(300) < 0.2)
    return pl.DataFrame(
        {
            "carrier": [None if one == "" else str(one) for one in carriers],
            "hour": [None if i % 7 == 0 else int(hour) for i, hour in enumerate(rng.integers(0, 24, 300))],
            "distance": [None if i % 5 == 0 else float(far) for i, far in enumerate(rng.normal(900, 300, 300))],
            "late": late,
        }
    ).with_columns(pl.col("carrier").cast(pl.Categorical))


@pytest.fixture
def served(workspace: Workspace) -> Iterator[tuple[str, list[dict[str, Any]], list[float]]]:
    """Where the endpoint answers, rows with each kind of null, and what the model says of them in this process."""
    fixed = inputs(rows_of_training(), label="late")
    fitted = HistGradientBoostingClassifier(max_iter=10, categorical_features=fixed.categorical).fit(
        fixed.matrix, fixed.labels
    )
    model = Model(fitted, inputs=fixed, trust=["functools.partial"])
    ef.deploy(workspace, model, CONTRACT)
    launcher = ProcessLauncher()
    url = launcher.ensure(ef.folder_of(workspace)).url
    taken = rows_of_training().select("carrier", "hour", "distance").with_columns(pl.col("carrier").cast(pl.String))
    rows = [{"flight_id": str(place), **row} for place, row in enumerate(taken.rows(named=True))]
    expected = model.predict(rows_of_training().drop("late"))
    yield url, rows, [float(score) for score in expected]
    launcher.stop(ef.folder_of(workspace))


def an_input(name: str, values: np.ndarray[Any, Any], datatype: str, *, binary: bool) -> Any:
    made = http.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


@pytest.mark.parametrize("binary", [True, False])
def test_a_stock_v2_client_gets_the_models_own_answers_nulls_included(served: Any, binary: bool) -> None:
    url, rows, expected = served
    client = http.InferenceServerClient(url.removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(ef.NAME)
        assert client.get_model_metadata(ef.NAME)["inputs"][1]["name"] == "carrier"
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        texts = np.array([one or "" for one in columns["carrier"]], dtype=np.object_)
        hours = np.array([one or 0 for one in columns["hour"]], dtype=np.int64).reshape(-1, 1)
        far = np.array([np.nan if one is None else one for one in columns["distance"]])
        no_distance = np.isnan(far)
        asked = [
            an_input("flight_id", np.array(columns["flight_id"], dtype=np.object_), "BYTES", binary=binary),
            an_input("carrier", texts, "BYTES", binary=binary),
            an_input("carrier:null", np.array([one is None for one in columns["carrier"]]), "BOOL", binary=binary),
            an_input("hour", hours, "INT64", binary=binary),
            an_input("hour:null", np.array([[one is None] for one in columns["hour"]]), "BOOL", binary=binary),
            an_input("distance", far if binary else np.nan_to_num(far), "FP64", binary=binary),
        ]
        if not binary:  # JSON has no NaN
            asked.append(an_input("distance:null", no_distance, "BOOL", binary=False))
        answer = client.infer(ef.NAME, asked, request_id="order-7")
        assert answer.get_response()["id"] == "order-7"
        assert answer.as_numpy("score").tolist() == expected
        assert answer.as_numpy("version").tolist() == [1] * len(rows)
        with pytest.raises(Exception, match=r"inputs\.hour has the datatype BYTES"):
            client.infer(ef.NAME, [an_input("hour", texts, "BYTES", binary=binary)])
    finally:
        client.close()


def test_arrow_and_mlflows_shapes_get_them_too(served: Any) -> None:
    url, rows, expected = served
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows)
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    kind = {"content-type": "application/vnd.apache.arrow.stream"}
    answer = httpx.post(
        f"{url}/endpoints/{ef.NAME}/predict", content=sink.getvalue().to_pybytes(), headers=kind, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    assert ipc.open_stream(answer.content).read_all().column("score").to_pylist() == expected
    said = httpx.post(f"{url}/invocations", json={"dataframe_records": rows}, trust_env=False).json()
    assert said["predictions"] == expected
