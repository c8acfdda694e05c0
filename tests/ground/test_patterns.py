"""Patterns: LIKE and regular expressions find what Python's find, and take no more than a step a character."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.patterns import like, regex

TEXTS = st.text(alphabet="abAB1_ %.\n-", max_size=12)
ATOMS = st.sampled_from(
    ["a", "b", "A", ".", r"\d", r"\W", r"\s", "[ab]", "[^a]", "[a-b1]", "[]a]", r"[\d-]", "^", "$", ""]
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0:
        return draw(ATOMS)
    one, two = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    shape = draw(st.sampled_from(["{0}{1}", "({0}|{1})", "(?:{0}){2}{1}", "({0}){2}", "{0}"]))
    return shape.format(one, two, draw(st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,}", "*?"])))


@settings(max_examples=400, deadline=None)
@given(expressions(), TEXTS, st.booleans())
def test_a_regular_expression_finds_what_pythons_finds(pattern: str, text: str, ignore_case: bool) -> None:
    pattern = f"(?i){pattern}" if ignore_case else pattern
    expected = re.compile(pattern.replace("$", r"\Z")).search(text) is not None
    assert regex(pattern)(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abA_%.", max_size=8), TEXTS, st.booleans())
def test_like_fits_whole_texts(pattern: str, text: str, ignore_case: bool) -> None:
    given = pattern.lower() if ignore_case else pattern
    translated = "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in given)
    expected = re.compile(translated, re.DOTALL).fullmatch(text.lower() if ignore_case else text) is not None
    assert like(pattern, ignore_case)(text) == expected


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "a*a*a*a*a*a*b", "(?:a?){30}a{30}", "(.*)*x", "((a+)+)+b"]
)
def test_what_would_backtrack_for_hours_answers(pattern: str) -> None:
    assert not regex(pattern)("a" * 29) or pattern.endswith("a{30}")
    assert regex(pattern)("a" * 6000) == (pattern == "(?:a?){30}a{30}")
    assert not like("%a%a%a%a%a%a%a%b")("a" * 6000)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a", "not closed"),
        ("a)", "closes nothing"),
        ("[a", "not closed"),
        ("*a", "repeats nothing"),
        ("a|+", "repeats nothing"),
        (r"(a)\1", "not known"),
        (r"\b", "not known"),
        ("(?=a)", "look ahead"),
        ("(?P<x>a)", "look ahead"),
        ("a{2", "no repetition"),
        ("a{3,1}", "ends below"),
        ("[b-a]", "no character"),
        ("a{900}{9}", "more than 1,000"),
        ("(){9999}{9999}{9999}", "more than 1,000"),
        ("(" * 60 + ")" * 60, "50 deep"),
        ("a" * 1001, "1,001 characters"),
        ("\\", "not known"),
    ],
)
def test_what_cannot_run_so_is_refused_in_a_sentence(pattern: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        regex(pattern)
