"""A bundle's reference rows through every protocol: equal rows, equal answers, or a refusal that names row and column."""

from collections.abc import Callable, Mapping
from typing import Any

import model_flights
import msgspec
import pytest

from slipway import plugins
from slipway.errors import InvalidInput, MissingExtra
from slipway.flows import routes
from slipway.flows.routes import prove_routes
from slipway.models.bundle import load, unpack
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.serving.dialects import Dialect, Understood
from slipway.serving.http import Headers


@pytest.fixture
def packed(workspace: Workspace, tmp_path: Any) -> Callable[[Any], Any]:
    def of(model: Any) -> Any:
        made = pack(workspace, model, name="delays")
        unpack(workspace, made.manifest, tmp_path / "bundle", signature=made.signature)
        return load(tmp_path / "bundle")

    return of


def altered(change: Callable[[dict[str, Any]], None]) -> routes._Route:
    """A protocol that does something to a row on its way in."""

    def read(body: bytes, headers: Headers, revision: Revision) -> Understood:
        rows: Mapping[str, Any] = msgspec.json.decode(body)
        for row in rows["rows"]:
            change(row)
        return Understood(msgspec.json.encode(rows), lambda answer: b"")

    return routes._Route("Gopher", routes._json, routes._in(Dialect(read)))


def test_all_that_serving_offers_is_asked(packed: Any) -> None:
    said = prove_routes(packed(model_flights.lightgbm_model()))
    assert said.endswith("requests mean the same rows in JSON, V2, MLflow's invocations and Arrow.")
    assert int(said.partition(" ")[0]) > 100


def _none_is_a_text(row: dict[str, Any]) -> None:
    row["carrier"] = "None" if row["carrier"] is None else row["carrier"]


def _null_is_nought(row: dict[str, Any]) -> None:
    row["wind"] = 0.0 if row["wind"] is None else row["wind"]


def _swapped(row: dict[str, Any]) -> None:
    row["distance"], row["wind"] = row["wind"], row["distance"]


@pytest.mark.parametrize(
    ("change", "told", "field"),
    [
        (_none_is_a_text, "'carrier' is 'None' in Gopher, and None in JSON", "carrier"),
        (_null_is_nought, "'wind' is 0.0 in Gopher, and None in JSON", "wind"),
        (lambda row: row.pop("wet"), "is refused in Gopher, and taken in JSON", ""),
        (_swapped, "Gopher", ""),
    ],
)
def test_a_route_that_means_another_row_is_found(
    packed: Any, monkeypatch: pytest.MonkeyPatch, change: Any, told: str, field: str
) -> None:
    monkeypatch.setattr(routes, "_ROUTES", (*routes._ROUTES, altered(change)))
    with pytest.raises(InvalidInput, match=told) as refused:
        prove_routes(packed(model_flights.lightgbm_model()))
    assert refused.value.field == field


def test_an_answer_that_json_changes_is_found(packed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = packed(model_flights.lightgbm_model())
    case = next(one for one in model.cases() if one.column == "wind")
    wrong = msgspec.structs.replace(case, answer=0.99)
    monkeypatch.setattr(type(model), "cases", lambda self: (wrong,))
    with pytest.raises(InvalidInput, match=r"wind is .* out of a request; the trained one 0\.99") as refused:
        prove_routes(model)
    assert refused.value.field == "wind"


def test_a_route_whose_reader_is_not_installed_is_said_to_be_unproven(
    packed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(kind: str, name: str) -> Any:
        raise MissingExtra("pyarrow is not installed.")

    model = packed(model_flights.lightgbm_model())
    monkeypatch.setattr(plugins, "load", missing)
    said = prove_routes(model)
    assert "JSON, V2 and MLflow's invocations. Arrow was not proven: " in said
