"""Labels as callers send them: by id, by key, by key and time; what does not fit is refused with its place."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from slipway.errors import InvalidInput
from slipway.records.endpoints import Contract
from slipway.records.schema import Field
from slipway.serving.contracts import ContractReader
from slipway.serving.pushes import LabelsBody, decode_body, label_rows

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
HOUR_US = 3_600_000_000


def taken(label: dict[str, Any], window_us: int = HOUR_US) -> Any:
    contract = Contract(fields=(Field("meter", "string"),), key=("meter",), label_window_us=window_us)
    body = decode_body(msgspec.json.encode({"labels": [label]}), LabelsBody)
    return label_rows(body, SimpleNamespace(contract=ContractReader(contract)), NOW)[0]


def test_a_label_with_a_time_carries_the_window_that_was_declared_when_it_came() -> None:
    at = NOW - timedelta(hours=5)
    row = taken({"key": {"meter": "m"}, "at": at, "value": 3.5, "revision": 2, "observed_at": at})
    assert (row.key, row.value, row.revision) == ("m", 3.5, 2)
    assert (row.since_us, row.until_us) == (NOW_US - 6 * HOUR_US, NOW_US - 5 * HOUR_US)
    assert (row.observed_us, row.came_us) == (NOW_US - 5 * HOUR_US, NOW_US)
    plain = taken({"key": {"meter": "m"}, "value": True})
    assert (plain.value, plain.until_us, plain.revision) == (1.0, None, 0)


@pytest.mark.parametrize(
    ("label", "window_us", "words"),
    [
        ({"key": {"meter": "m"}, "at": NOW, "value": 1}, 0, "label_window='2d'"),
        ({"prediction": "p", "at": NOW, "value": 1}, HOUR_US, "names both a prediction and a time"),
        ({"key": {"meter": "m"}, "value": "yes"}, HOUR_US, r"labels\[0\].value does not fit"),
        ({"key": {"meter": "m"}, "value": None}, HOUR_US, r"labels\[0\].value does not fit"),
        ({"key": {"meter": "m"}, "value": 1, "revision": -1}, HOUR_US, r"labels\[0\].revision does not fit"),
        ({"key": {"meter": "m"}, "value": 1, "revision": True}, HOUR_US, r"labels\[0\].revision does not fit"),
        ({"key": {"meter": "m"}, "value": 1, "at": "2026-05-01T00:00:00"}, HOUR_US, r"labels\[0\].at does not fit"),
        ({"key": {"meter": "m"}, "value": 1, "observed_at": NOW + timedelta(hours=1)}, HOUR_US, "in the future"),
    ],
)
def test_what_does_not_fit_is_refused(label: dict[str, Any], window_us: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        taken(label, window_us)
    assert "labels[0]" in str(caught.value) or "Label 0" in str(caught.value)
