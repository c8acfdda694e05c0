"""Moments as people write them: what cannot be one is said."""

import pytest

from slipway.errors import InvalidInput
from slipway.schema.moments import moment


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31 23:59:59 America/New_York", "x", ""],
)
def test_what_is_no_moment_in_utc_is_said(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no moment") as refused:
        moment(text, field="since")
    assert refused.value.field == "since"
