"""The page that compares names benchmarks that there are, and figures that they gave."""

import re
from pathlib import Path

from benchmarks.__main__ import NAMES

HERE = Path(__file__).parents[2]
PAGE = (HERE / "docs" / "comparison.md").read_text()
RESULTS = (HERE / "benchmarks" / "RESULTS.md").read_text()
ROWS = re.findall(r"^\|[^|]+\|([^|]+)\| ([\d.,]+) \| ([\d.,]+) \| (\w+) \|$", PAGE, re.M)


def test_every_measured_figure_is_one_of_the_results() -> None:
    """Measured anew, the page is to be brought up to date too."""
    assert len(ROWS) > 25
    known = set(re.findall(r"[\d.,]*\d", RESULTS))
    assert [(other, figure) for other, *figures, _ in ROWS for figure in figures if figure not in known] == []
    assert {name for *_, name in ROWS} <= set(NAMES)


def test_versions_are_those_that_the_benchmarks_install() -> None:
    locked = "\n".join(path.read_text().lower() for path in (HERE / "requirements").glob("*.txt"))
    named = {
        (name.lower(), version) for other, *_ in ROWS for name, version in re.findall(r"(\w+) (\d+\.\d+\.\d+)", other)
    }
    assert len(named) > 10
    assert [(name, version) for name, version in named if f"{name}=={version}" not in locked] == []
