"""The declaration that ties the stages together."""

from datetime import UTC, datetime

import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def test_a_declaration_becomes_plain_data() -> None:
    gate = sw.Gate(sw.metric("auc") >= 0.7)
    endpoint = sw.Endpoint("delays", gate=gate, key=["id"], strict=True, workers=2, monitors=[sw.Drift()])
    declared = endpoint.declared("flights", NOW, simulation=True)
    assert (declared.id, declared.model, declared.gate) == ("flights/dev/delays", "delays", gate.spec)
    assert (declared.key, declared.strict, declared.workers, declared.simulation) == (("id",), True, 2, True)
    assert [monitor.kind for monitor in declared.monitors] == ["drift"]
    assert sw.Endpoint("bare").declared("flights", NOW).gate is None


@pytest.mark.parametrize("name", ["", "Delays", "a b", "../x", "a/b"])
def test_a_name_becomes_part_of_an_address(name: str) -> None:
    with pytest.raises(InvalidInput):
        sw.Endpoint(name)


def test_two_monitors_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="two monitors called 'quality of auc'"):
        sw.Endpoint("delays", monitors=[sw.Quality("auc"), sw.Quality("auc", label_delay="7d")])


@pytest.mark.parametrize(("workers", "kept"), [(3, (None, 3)), ((1, 4), (1, 4)), ((0, 2), (0, 2)), ((2, 2), (None, 2))])
def test_workers_are_a_number_or_the_least_and_the_most(workers: int | tuple[int, int], kept: object) -> None:
    declared = sw.Endpoint("delays", workers=workers, idle="5m").declared("flights", datetime(2013, 4, 1, tzinfo=UTC))
    assert (declared.least, declared.workers) == kept
    assert declared.idle_us == 300_000_000


@pytest.mark.parametrize(
    "workers", [0, -1, 1.5, True, 1000, (0, 0), (3, 2), (-1, 2), (1, 1000), (1, 2, 3), (True, 2), "4"]
)
def test_a_number_of_workers_that_cannot_be_is_refused(workers: object) -> None:
    with pytest.raises(InvalidDeclaration, match="workers"):
        sw.Endpoint("delays", workers=workers)  # type: ignore[arg-type]


def test_one_key_field_may_be_given_by_itself() -> None:
    assert sw.Endpoint("delays", key="flight_id").declared("flights", NOW).key == ("flight_id",)


@pytest.mark.parametrize("key", [["a", "a"], [""], [1]])
def test_a_key_is_a_list_of_names(key: object) -> None:
    with pytest.raises(InvalidDeclaration, match="key"):
        sw.Endpoint("delays", key=key)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"gate": "auc"}, {"monitors": ["drift"]}, {"features": []}, {"pipeline": print}])
def test_what_is_no_declaration_is_refused_where_it_is_written(given: dict[str, object]) -> None:
    with pytest.raises(InvalidDeclaration, match=next(iter(given))):
        sw.Endpoint("delays", **given)  # type: ignore[arg-type]


def test_a_limit_of_each_caller_is_kept_as_requests_a_second() -> None:
    declared = sw.Endpoint("delays", per_caller="600/m").declared("flights", datetime(2013, 4, 1, tzinfo=UTC))
    assert declared.caller_rate == 10.0
    assert sw.Endpoint("delays").declared("flights", datetime(2013, 4, 1, tzinfo=UTC)).caller_rate == 0.0


def test_a_limit_that_is_no_rate_is_refused_at_the_declaration() -> None:
    with pytest.raises(InvalidDeclaration, match="'100', given for per_caller of the endpoint 'delays', is not a rate"):
        sw.Endpoint("delays", per_caller="100")
