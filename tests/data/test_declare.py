import subprocess
import sys
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from slipway.data.checks import between, matches, not_null, one_of, unique
from slipway.data.declare import Table, table
from slipway.errors import InvalidDeclaration, NotFound, UserError
from slipway.ports.workspace import Workspace, current_workspace
from slipway.tables.versions import overwrite


def airports() -> pl.DataFrame:
    """Three airports."""
    return pl.DataFrame({"code": ["EWR", "JFK", "LGA"]})


def test_a_declared_table_is_its_function_with_a_name() -> None:
    check = unique("code")
    declared = table(key="code", time="seen_at", checks=[check])(airports)
    assert isinstance(declared, Table)
    assert (declared.name, declared.key, declared.time, declared.checks) == ("airports", ("code",), "seen_at", (check,))
    assert declared.__wrapped__ is declared.function is airports
    assert declared.__doc__ == "Three airports."
    assert declared().equals(airports())
    assert repr(declared) == "<table airports>"


def test_the_decorator_works_bare_and_with_several_keys() -> None:
    bare = table(airports)
    assert (bare.key, bare.time, bare.checks) == ((), "", ())
    assert table(key=["code", "at"])(airports).key == ("code", "at")


def test_reading_reads_the_current_version_of_the_current_project(workspace: Workspace) -> None:
    declared = table(airports)
    with pytest.raises(NotFound, match="no table 'airports'"):
        declared.read()
    first = overwrite(workspace, "airports", airports())
    overwrite(workspace, "airports", airports().head(1))
    assert declared.read().collect().height == 1
    assert declared.read(first.version).collect().equals(airports())
    with current_workspace.filled(None), pytest.raises(UserError, match="No Slipway project is open"):  # type: ignore[arg-type]
        declared.read()


def needs_path(path: str) -> None: ...


def Airports() -> None: ...


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: table(needs_path), "takes 'path'"),
        (lambda: table(Airports), "'Airports' cannot be the name of a table"),
        (lambda: table(checks=["unique"])(airports), "'unique' is no check"),  # type: ignore[list-item]
        (lambda: unique(), "names no column"),
        (lambda: between("x", None, None), "has no bound"),
        (lambda: between("x", 2, 1), "lets no value through"),
        (lambda: between("x", float("nan"), 1), "lets no value through"),
        (lambda: between("x", "a", 1), "mixes types"),
        (lambda: one_of("x", "AA"), "lists no values"),
        (lambda: one_of("x", []), "lists no values"),
        (lambda: matches("x", "("), "no regular expression"),
        (lambda: not_null("x", severity="error"), "severity 'error' is unknown"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_declared_is_refused_in_words(declare: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        declare()


def test_checks_say_what_they_mean() -> None:
    said = [
        str(check)
        for check in (
            unique("origin", "at"),
            not_null("code"),
            between("x", 0, 10),
            between("x", None, 10),
            between("x", 0, None),
            one_of("c", "abcdefg"[:1].split() + list("bcdefg")),
            matches("c", "[A-Z]{3}"),
        )
    ]
    assert said == [
        "origin + at is unique",
        "code is not null",
        "x is between 0 and 10",
        "x is at most 10",
        "x is at least 0",
        "c is one of a, b, c, d, e, ...",
        "c matches [A-Z]{3}",
    ]


def test_declaring_loads_no_frames() -> None:
    code = (
        "import sys\nfrom slipway import table, unique\n"
        "@table(key='a', checks=[unique('a')])\ndef rows(): ...\n"
        "print(sorted(m for m in ('polars', 'numpy', 'pandas') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
