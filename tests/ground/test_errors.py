"""The tree of errors and their sentences."""

import re

import pytest

from slipway import errors
from slipway.errors import GateRefused, InvalidInput, SlipwayError, StepFailed, near

CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "near"]


def test_the_drawing_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(\s*(?:│   |    )*(?:[├└]── )?)(\w+)(?:\s{2,}|$)", line)
        if not found or found[2] not in errors.__all__:
            continue
        depth = (len(found[1]) - 4) // 4
        above[depth:] = [found[2]]
        drawn[found[2]] = above[depth - 1] if depth else ""
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ if kind is not SlipwayError else "" for kind in CLASSES}


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InvalidInput, ValueError),
        (errors.InvalidDeclaration, TypeError),
        (errors.InvalidSetting, ValueError),
        (errors.MissingExtra, ImportError),
        (errors.NotFound, LookupError),
        (errors.Denied, PermissionError),
        (errors.BackendError, OSError),
    ],
)
def test_callers_may_catch_the_builtin_that_they_expect(kind: type[SlipwayError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin):
        raise kind("It is wrong.")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_its_parts_in_one_line(kind: type[SlipwayError]) -> None:
    error = (
        StepFailed("It broke.", step="train", fix="Mend it.")
        if kind is StepFailed
        else kind("It broke.", fix="Mend it.")
    )
    assert str(error) == "It broke. Mend it."
    assert error.code == kind.__name__


def test_extra_parts() -> None:
    assert InvalidInput("x", field="carrier").field == "carrier"
    assert GateRefused("x", verdict=1).verdict == 1
    assert StepFailed("x", step="train", run_id="r", trace="t").trace == "t"


def test_a_near_name_is_proposed_or_what_there_is_listed() -> None:
    assert near("fligths", ["flights", "planes"]) == "Did you mean 'flights'?"
    assert near("zzz", ["flights", "planes"], what="tables") == "The tables are: flights, planes."
    assert near("zzz", [], what="tables") == "There are no tables yet."
    assert near("zzz", [f"t{i:02}" for i in range(15)]).endswith("t09 and 5 more.")
