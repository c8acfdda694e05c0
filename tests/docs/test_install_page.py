"""docs/install.md tells of every extra, of all tiers, and of every library's licence."""

import re
from importlib.metadata import PackageNotFoundError

import pytest
from release import licences
from release.locked import ROOT, extras, megabytes, needs, project

PAGE = (ROOT / "docs/install.md").read_text()
LICENCES = (ROOT / licences.PAGE).read_text()


def rows(page: str, columns: int) -> dict[str, list[str]]:
    """The rows of the tables with so many columns, by the first."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    return {first.strip("`"): rest for first, *rest in lines if len(rest) == columns - 1}


def test_the_table_has_every_extra() -> None:
    there = rows(PAGE[PAGE.index("## Extras") :], 4)
    assert list(there)[1:] == extras()


def test_the_pythons_are_those_of_the_package() -> None:
    listed = [one.rpartition(" ")[2] for one in project()["classifiers"] if "Python :: 3." in one]
    assert f"Python {', '.join(listed[:-1])} or {listed[-1]}" in PAGE


@pytest.mark.full
def test_what_an_extra_adds_is_what_it_takes() -> None:
    own = needs()
    for extra, (*_, told) in rows(PAGE[PAGE.index("## Extras") :], 4).items():
        if found := re.fullmatch(r"(\d+) MB", told):
            try:
                taken = megabytes(needs([extra]) - own)
            except PackageNotFoundError:
                pytest.skip("all extras are measured: make .venv/stamps/all")
            assert abs(taken - int(found[1])) <= 2 + 0.05 * taken, f"{extra}: {taken:.0f} MB"


def test_every_library_that_is_here_is_listed_with_its_licence() -> None:
    there = rows(LICENCES, 4)
    for name, by in licences.brought_by().items():
        assert name in there, f"{name}: type `make licences`."
        assert set(by) <= set(there[name][1].split(", ")) or not by
        try:
            assert there[name][0] == licences.spdx(name), f"{name}: type `make licences`."
        except PackageNotFoundError:
            continue
        assert licences.wrong_with(name, there[name][0]) == ""


@pytest.mark.full
def test_the_page_of_licences_is_what_the_libraries_say() -> None:
    pytest.importorskip("psycopg", reason="licences of all extras: make .venv/stamps/all")
    assert licences.page() == LICENCES


def test_a_licence_that_is_unknown_or_not_permitted_is_refused() -> None:
    assert "not known" in licences.wrong_with("new", "")
    assert "not permissive" in licences.wrong_with("new", "GPL-3.0-only")
    assert "not permissive" in licences.wrong_with("new", "MPL-2.0")
    assert "not permissive" in licences.wrong_with("new", "MIT AND AGPL-3.0-or-later")
    assert licences.wrong_with("new", "(MIT OR Apache-2.0) AND Zlib") == ""
    assert licences.wrong_with("certifi", "MPL-2.0") == ""


def test_pages_ship_no_script_of_others() -> None:
    for path in (ROOT / "src/slipway/server").rglob("*"):
        if path.suffix in (".js", ".css", ".html", ".jinja"):
            text = path.read_text()
            assert not re.search(r"""(src|href)=["']https?://|@import|@license|@preserve|\bCopyright\b""", text), path
