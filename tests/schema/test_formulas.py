"""Formulas: what Python gives for each row, in all rows at once, and nothing that is not arithmetic."""

import math
import random
from typing import Any

import polars as pl
import pytest

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.schema.formula_frames import reckon
from slipway.schema.formulas import columns_of, formula_of, parsed

TAX = 0.19


def net(price: float, label: float, seats: int) -> float:
    """What a seat earns."""
    before = price * label
    after = before - before * TAX
    return after / seats if seats else 0.0


def test_a_function_becomes_the_text_of_what_it_returns() -> None:
    text = formula_of(net)
    assert text == "(price * label - price * label * 0.19) / seats if seats else 0.0"
    assert columns_of(text) == ("price", "label", "seats")
    frame = pl.DataFrame({"price": [100.0, 50.0], "label": [1.0, 1.0], "seats": [4, 0]})
    assert reckon(frame, text).to_list() == pytest.approx([net(100.0, 1.0, 4), net(50.0, 1.0, 0)])


def loops(price: float) -> float:
    total = 0.0
    for _ in range(3):
        total += price
    return total


def calls(price: float) -> float:
    return math.sqrt(price)


def reads(price: float) -> float:
    return price * unknown  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "given",
    [
        "price.mean()", "__import__('os').system('x')", "price[0]", "lambda: 1", "price := 3", "f'{price}'", "[price]",
        "price if", "", "open('x')", "price // 2", "price in 'abc'", "abs(price, 1)", "min(price)", "max(*price)", "1j", "None",
        loops, calls, reads, 7, print,
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused_in_a_sentence(given: Any) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        formula_of(given)
    assert caught.value.fix
    if isinstance(given, str):
        with pytest.raises(InvalidInput):
            parsed(given)


def test_a_formula_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises((InvalidDeclaration, InvalidInput)):
        formula_of("-" * 500 + "a")
    with pytest.raises((InvalidDeclaration, InvalidInput)):
        formula_of("+".join(["a"] * 3000))


def _made(draw: random.Random, depth: int) -> str:
    if depth == 0 or draw.random() < 0.15:
        return draw.choice(["a", "b", "c", "t", "0", "2.5", "(-1)"])
    one, other = _made(draw, depth - 1), _made(draw, depth - 1)
    match draw.randrange(9):
        case 0 | 1:
            return f"({one} {draw.choice('+-*/')} {other})"
        case 2:
            return f"({one} / {other})"
        case 3:
            return f"({one} {draw.choice(['<', '<=', '==', '!=', '>'])} {other})"
        case 4:
            return f"({one} if {_made(draw, depth - 1)} else {other})"
        case 5:
            return f"{draw.choice(['min', 'max'])}({one}, {other})"
        case 6:
            return f"abs({one})"
        case 7:
            return f"(({one} > 0) {draw.choice(['and', 'or'])} ({other} > 1))"
    return f"(not {one})"


def _by_python(text: str, row: dict[str, Any]) -> float:
    try:
        value = float(eval(text, {"abs": abs, "min": min, "max": max}, dict(row)))  # what it stands for
    except (ZeroDivisionError, OverflowError):
        return math.nan
    return value if math.isfinite(value) else math.nan


@pytest.mark.parametrize("formulas", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_formulas_give_what_python_gives_row_by_row(formulas: int) -> None:
    draw = random.Random(20)
    rows = [
        {"a": draw.choice([0.0, 1.0, -2.0, 3.5]), "b": draw.choice([0, 1, 2]), "c": draw.uniform(-3, 3), "t": draw.random() < 0.5}
        for _ in range(40)
    ]  # fmt: skip
    frame = pl.DataFrame(rows)
    broken = 0
    for _ in range(formulas):
        text = formula_of(_made(draw, 4))
        expected = [_by_python(text, row) for row in rows]
        broken += any(map(math.isnan, expected))
        assert reckon(frame, text).to_list() == pytest.approx(expected, nan_ok=True, rel=1e-9), text
    assert broken > formulas / 5, "some of them divide by zero"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", [None, 3.0, None]),
        ("a if b > 1 else 0", [None, 1.0, None]),
        ("min(a, b)", [None, 1.0, None]),
        ("b > 1 or a > 0", [1.0, 1.0, 1.0]),
        ("a / 0", [math.nan, math.nan, math.nan]),
    ],
)
def test_what_is_not_known_yet_stays_unknown(text: str, expected: list[float | None]) -> None:
    frame = pl.DataFrame({"a": [None, 1.0, 2.0], "b": [2.0, 2.0, None]})
    assert reckon(frame, text).to_list() == pytest.approx(expected, nan_ok=True)


def test_a_column_that_is_no_number_in_a_row_is_not_hidden_by_a_comparison() -> None:
    frame = pl.DataFrame({"a": [math.nan, math.inf, 1.0]})
    assert [math.isnan(one) for one in reckon(frame, "1 if a > 3 else 0")] == [True, True, False]


@pytest.mark.parametrize("text", ["missing + 1", "name + 1", "name == 1", "day > 1", "name", "name if a else 1"])
def test_a_column_that_does_not_fit_is_a_sentence(text: str) -> None:
    frame = pl.DataFrame({"a": [1.0], "name": ["x"]}).with_columns(day=pl.date(2013, 1, 1))
    with pytest.raises(InvalidInput):
        reckon(frame, text)


def test_texts_are_compared_and_no_rows_are_no_rows() -> None:
    frame = pl.DataFrame({"name": ["x", "y", "z"]})
    assert reckon(frame, "2 if name in ('x', 'y') else 1").to_list() == [2, 2, 1]
    assert reckon(frame.clear(), "1").to_list() == []
    assert reckon(frame, "1").to_list() == [1, 1, 1]
