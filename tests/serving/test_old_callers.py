"""An old system is asked in its own form: a row, a list of rows, tensors of the Open Inference Protocol."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

import old_services
from slipway.errors import InvalidDeclaration
from slipway.rollout.old_system import OldSystem
from slipway.serving.old_system import OldCaller, body_of

ROW = {"age": 40.0, "visits": 3}


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), old_services.Old)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("/churn", {"score": "result.value"}, 83.0),
        ("/invocations", {"score": "predictions.*", "rows": "dataframe_records"}, 117.0),
        ("/v2/models/fraud/infer", {"score": "outputs.0.data.0", "protocol": "v2"}, 43.0),
    ],
)
def test_each_form_is_answered(url: str, path: str, given: dict[str, Any], expected: float) -> None:
    with closing(OldCaller()) as caller:
        said = [caller.ask(OldSystem(url=url + path, **given).spec(), [ROW]) for _ in range(2)]
    assert [(one.scores, one.problem) for one in said] == [([expected], "")] * 2


def test_one_that_refuses_or_is_not_there_is_a_problem_and_no_error(url: str) -> None:
    with closing(OldCaller()) as caller:
        assert caller.ask(OldSystem(url=f"{url}/closed").spec(), [ROW]).problem == "error"
        assert caller.ask(OldSystem(url=f"{url}/churn").spec(), [ROW]).problem == "unreadable"
        assert caller.ask(OldSystem(url="http://127.0.0.1:1/churn").spec(), [ROW]).problem == "error"


def test_tensors_have_the_types_of_values_and_v2_takes_one_row() -> None:
    spec = OldSystem(url="https://old/infer", protocol="v2", score="outputs.0.data.0").spec()
    sent = json.loads(body_of(spec, [{"a": 1, "b": 0.5, "c": "x", "d": True, "e": None}]))["inputs"]
    assert [one["datatype"] for one in sent] == ["INT64", "FP64", "BYTES", "BOOL", "FP64"]
    assert sent[4] == {"name": "e", "shape": [1, 1], "datatype": "FP64", "data": [None]}
    with pytest.raises(InvalidDeclaration, match="cannot be asked by 'v2'"):
        OldSystem(url="https://old/infer", protocol="v2", rows="rows", score="predictions.*")
    plain = OldSystem(url="https://old/infer").spec()
    assert spec.mark != OldSystem(url="https://old/infer", score="outputs.0.data.0").spec().mark
    assert plain.mark == "674e0cd5257a77c3", "logs that were written before stay comparable"
