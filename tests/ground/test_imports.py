"""What code imports, read from its text, and what that needs, read from metadata."""

import csv
from pathlib import Path

import pytest

from slipway.code import imports, libraries, wheels

SOURCE = """
import click, jinja2.ext as j
from polars import DataFrame
from . import sibling
def later():
    from markupsafe import escape
    import there_is_no_such_module
"""


def test_imports_are_read_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(SOURCE)
    assert imports.imported([str(file), str(tmp_path / "gone.py")]) == {
        "click", "jinja2", "polars", "markupsafe", "there_is_no_such_module",
    }  # fmt: skip
    file.write_text("import httpx\n")
    assert imports.imported([str(file)]) == {"httpx"}


def test_what_is_needed_is_followed_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("import sys, hypothesis\n")
    found = imports.needed(imports.Own((str(file),)))
    assert list(found) == sorted(found)
    # hypothesis needs sortedcontainers; Slipway is always there, with its data extra and what that needs
    assert {"hypothesis", "slipway", "click", "polars", "polars-runtime-32", "numpy"} <= set(found)
    assert not {"pytest", "ruff", "scikit-learn", "lightgbm", "redis"} & set(found)


def test_an_extra_of_slipway_comes_with_what_it_is_for(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("from sklearn.linear_model import LinearRegression\n")
    assert {"scikit-learn", "skops", "pandas"} <= set(imports.needed(imports.Own((str(file),))))
    assert "redis" in imports.needed(imports.Own((), backends=frozenset({"redis"})))


def test_a_name_of_the_face_brings_the_extra_that_it_uses(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    for text in ("import slipway as sw\nsw.sql('x')\n", "from slipway import (\n    step,\n    sql,\n)\n"):
        file.write_text(text)
        assert "sqlalchemy" in imports.needed(imports.Own((str(file),)))
    file.write_text("import re, slipway as sw\nre.search('sql', x)\nsw.sqlx\n")
    assert not {"sqlalchemy", "optuna"} & set(imports.needed(imports.Own((str(file),))))


def test_own_code_is_what_lies_in_no_library() -> None:
    files = imports.own().files
    assert __file__ in files
    assert not [file for file in files if "site-packages" in file or "/slipway/code/" in file]


@pytest.mark.full
def test_modules_are_those_that_records_list() -> None:
    listed: dict[str, set[str]] = {}
    for one in wheels.installed():
        for row in csv.reader((one.read_text("RECORD") or "").splitlines()):
            first, _, rest = row[0].partition("/")
            top = first if rest else first.partition(".")[0]
            if (rest or first).endswith((".py", ".so", ".pyd")) and top.isidentifier():
                listed.setdefault(top, set()).add(one.metadata["Name"])
    assert len(listed) > 20
    for top, names in listed.items():
        assert [one.metadata["Name"] for one in libraries.distributions_of(top)] == sorted(names), top
