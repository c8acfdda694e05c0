"""What `slipway client` writes works against the endpoint that it was written for."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from serving_desk import Desk, a_revision

from slipway.client import endpoint_openapi, endpoint_python
from slipway.client.endpoint_examples import example_row
from slipway.records.endpoints import Contract
from slipway.records.explanations import Contribution, Explanation
from slipway.records.schema import Field
from slipway.serving.explaining import MOST_ROWS, MOST_TOLD

KINDS = ("bool", "int", "float", "string", "datetime", "date", "duration")
FIELDS = tuple(Field(f"{kind} of {n}", kind, nullable=bool(n)) for kind in KINDS for n in (0, 1))
CONTRACT = Contract(fields=FIELDS, key=("string of 0",), strict=True)
REVISION = a_revision(contract=CONTRACT)
URL = "http://endpoint"
ROW = {
    "bool of 0": True,
    "int of 0": 2**62,
    "float of 0": 0.1,
    "string of 0": "caf\u00e9 'x'",
    "datetime of 0": datetime(2013, 4, 1, 13, 0, 0, 7, tzinfo=UTC),
    "date of 0": date(2013, 4, 1),
    "duration of 0": -timedelta(days=3, microseconds=7),
    **{field.name: None for field in FIELDS if field.nullable},
}


def loaded(text: str) -> Any:
    made = types.ModuleType("written_client")
    exec(compile(text, "written_client.py", "exec"), made.__dict__)
    return made


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    made.serve(contract=CONTRACT, resolve=lambda rows, at: [[700.0] for _ in rows])
    yield made
    made.close()


@pytest.fixture
def http(desk: Desk) -> Iterator[httpx.Client]:
    """Sends to the app without a socket."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = desk.ask(request.method, str(request.url), content=request.content, headers=request.headers)
        return httpx.Response(found.status_code, content=found.content, headers=found.headers)

    with httpx.Client(transport=httpx.MockTransport(answer)) as made:
        yield made


def test_the_written_python_sends_every_type_and_gets_its_answer(desk: Desk, http: httpx.Client) -> None:
    written = loaded(endpoint_python.module(REVISION, URL))
    with written.Client(http=http) as client:
        answers = client.predict([ROW], request_id="order-7")
        assert [one["score"] for one in answers] == [0.7]
        known = client.labels([{"value": True, "prediction": answers[0]["id"]}])
        by_key = client.labels([{"value": 1.0, "key": {"string of 0": "x"}, "observed_at": desk.now}])
    desk.log.close()
    assert desk.logged[0].request == [ROW[field.name] for field in FIELDS]
    assert (known, by_key, [label.key for label in desk.labels]) == (1, 1, ["", "x"])


def test_what_the_endpoint_refuses_is_an_error_that_names_the_place(http: httpx.Client) -> None:
    written = loaded(endpoint_python.module(REVISION, URL))
    client = written.Client(http=http)
    with pytest.raises(written.EndpointError, match="true or false") as refused:
        client.predict([{**ROW, "bool of 0": None}], request_id="order-7")
    assert (refused.value.status, refused.value.field) == (422, "rows[0].bool of 0")
    assert refused.value.request_id == "order-7"
    for wrong in ({"float of 0": float("nan")}, {"datetime of 0": datetime(2013, 1, 1)}, {"string of 0": object()}):
        with pytest.raises(ValueError):
            client.predict([{**ROW, **wrong}])


def test_the_description_has_the_contracts_fields_and_its_example_is_answered(desk: Desk) -> None:
    said = endpoint_openapi.document(REVISION, URL)
    row = said["components"]["schemas"]["Row"]
    assert list(row["properties"]) == row["required"] == [field.name for field in FIELDS]
    assert row["additionalProperties"] is False
    assert row["properties"]["float of 1"]["type"] == ["number", "null"]
    assert row["properties"]["datetime of 0"]["format"] == "date-time"
    assert list(said["components"]["schemas"]["Key"]["properties"]) == ["string of 0"]
    for path, what in said["paths"].items():
        for method, route in what.items():
            if "requestBody" in route and "examples" in (schema := _schema(route)):
                answer = desk.ask(method.upper(), path, json=schema["examples"][0])
                assert answer.status_code == 200, (path, answer.text)
                assert answer.json().keys() >= set(_answer(route)["required"])
    assert desk.predict(example_row(CONTRACT)).status_code == 200
    assert "security" not in said
    known = endpoint_openapi.document(a_revision(contract=CONTRACT, by_token=True), URL)
    assert known["security"] == [{"token": []}]


def _schema(route: Any) -> Any:
    return route["requestBody"]["content"]["application/json"]["schema"]


def _answer(route: Any) -> Any:
    return route["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.mark.full
@pytest.mark.parametrize("by_token", [True, False])
def test_the_description_is_valid_openapi(by_token: bool) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(endpoint_openapi.document(a_revision(contract=CONTRACT, by_token=by_token), URL))


@pytest.mark.full
def test_the_written_python_is_strictly_typed_and_catches_a_wrong_row(tmp_path: Path) -> None:
    (tmp_path / "delays_client.py").write_text(endpoint_python.module(REVISION, URL), encoding="utf-8")
    rows = {"good": "plain", "bad": "float"}
    for name, kind in rows.items():
        values = {"string of 0": "'x'" if kind == "plain" else "1.5"}
        row = ", ".join(f"{field.name!r}: {values.get(field.name, _literal(field))}" for field in FIELDS)
        (tmp_path / f"{name}.py").write_text(
            "from datetime import UTC, date, datetime, timedelta\nfrom delays_client import Client\n"
            f"with Client() as client:\n    score: float = client.predict([{{{row}}}])[0]['score']\n"
        )
    for name, is_right in (("good", True), ("bad", False)):
        answer = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"{name}.py", "delays_client.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "MYPYPATH": ""},
        )
        assert (answer.returncode == 0) == is_right, answer.stdout
        assert is_right or 'TypedDict item "string of 0" has type "str"' in answer.stdout


def _literal(field: Field) -> str:
    if field.nullable:
        return "None"
    return {
        "bool": "True",
        "int": "1",
        "float": "1.5",
        "string": "'x'",
        "datetime": "datetime(2013, 1, 1, tzinfo=UTC)",
        "date": "date(2013, 1, 1)",
        "duration": "timedelta(1)",
    }[field.type]


def test_the_line_for_curl_is_one_shell_word_for_each_value() -> None:
    import shlex

    for by_token in (True, False):
        line = endpoint_openapi.curl(a_revision(contract=CONTRACT, by_token=by_token), URL)
        words = shlex.split(line)
        assert words[:3] == ["curl", "-sS", f"{URL}/endpoints/delays/predict"]
        assert json.loads(words[-1]) == {"rows": [example_row(CONTRACT)]}
        assert ("Authorization: Bearer $SLIPWAY_TOKEN" in words) == by_token


def test_explanations_are_described_with_the_limits_and_fields_that_hold() -> None:
    described = endpoint_openapi.document(REVISION, URL)
    asked = described["paths"]["/endpoints/delays/predict"]["post"]["parameters"][-1]
    assert (asked["name"], asked["schema"]["maximum"]) == ("explain", MOST_TOLD)
    assert f"at most {MOST_ROWS} rows" in asked["description"]
    schemas = described["components"]["schemas"]
    assert set(schemas["Explanation"]["properties"]) == set(Explanation.__struct_fields__)
    held = schemas["Explanation"]["properties"]["contributions"]["items"]["properties"]
    assert set(held) == set(Contribution.__struct_fields__)
