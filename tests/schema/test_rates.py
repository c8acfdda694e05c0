"""Rates as declarations write them."""

import pytest

from slipway.errors import InvalidDeclaration
from slipway.schema.rates import per_second


@pytest.mark.parametrize(("written", "rate"), [("100/s", 100.0), ("600/m", 10.0), ("36/h", 0.01)])
def test_a_rate_is_so_many_a_second(written: str, rate: float) -> None:
    assert per_second(written, "x") == rate


@pytest.mark.parametrize("written", ["100", "0/s", "-1/s", "1.5/s", "100/d", "100 /s", 100, None, True])
def test_what_is_no_rate_is_refused(written: object) -> None:
    with pytest.raises(InvalidDeclaration, match="is not a rate") as refused:
        per_second(written, "per_caller of the endpoint 'delays'")
    assert repr(written) in refused.value.what
    assert "'100/s'" in refused.value.fix
