"""A scope as people write it."""

import pytest

from slipway.errors import InvalidInput
from slipway.records.scopes import ScopeTerms
from slipway.schema import scope

WHOLE = """
name = "flight-delays"
decision = "Whether a passenger is told\\nthat the flight is late"
owner = "Grace Okafor"
kpi = "cost of errors"
better = "lower"
value = 90000
currency = "USD"
sources = ["flights", "weather"]
consumers = ["the booking site"]
requests_per_second = 50
latency_ms = 100
freshness = "10m"
training_rows = 1000000
availability = 0.999
[metrics]
auc = 0.7
log_loss = 0.5
"""


def test_a_scope_comes_back_as_it_was_written() -> None:
    found = scope.of_toml(WHOLE)
    assert found.requests_per_second == 50
    assert found.metrics == {"auc": 0.7, "log_loss": 0.5}
    assert scope.of_toml(scope.to_toml(found)) == found


def test_the_template_asks_for_what_is_missing() -> None:
    with pytest.raises(InvalidInput, match="has no decision") as caught:
        scope.of_toml(scope.TEMPLATE.format(name="delays"))
    assert caught.value.field == "decision"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"owner": " "}, "has no owner"),
        ({"decision": ""}, "has no decision"),
        ({"mode": "batch", "requests_per_second": 5.0}, "answers no requests"),
        ({"mode": "batch", "latency_ms": 5.0}, "answers no requests"),
        ({"mode": "batch", "availability": 0.9}, "answers no requests"),
        ({"latency_ms": 5.0}, "a latency at no rate"),
        ({"requests_per_second": 10.0, "rows_per_hour": 35_999.0}, "which are fewer"),
        ({"value": 5.0}, "of nothing"),
        ({"value": float("nan"), "currency": "USD"}, "value = nan"),
        ({"requests_per_second": -1.0}, "requests_per_second = -1"),
        ({"requests_per_second": float("inf")}, "= inf"),
        ({"availability": 1.0}, "availability = 1"),
        ({"freshness": "soon"}, "freshness = 'soon'"),
        ({"metrics": {"acu": 0.7}}, "the metric 'acu'"),
        ({"metrics": {"auc": float("nan")}}, "auc = nan"),
        ({"note": "x" * 10_001}, "10,001 characters"),
        ({"name": "Not A Name"}, "scope"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, object], told: str) -> None:
    whole: dict[str, object] = {"name": "delays", "decision": "Whether", "owner": "ada", **change}
    with pytest.raises(InvalidInput) as caught:
        scope.checked(ScopeTerms(**whole))  # type: ignore[arg-type]
    assert told in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "no TOML"),
        ("nam = 'x'", "no field 'nam'"),
        ("name = 'x'\ndecision = 1\nowner = 'a'", "cannot be read"),
        ("name = 'x'\ndecision = 'y'\nowner = 'a'\nmode = 'often'", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        scope.of_toml(text)
