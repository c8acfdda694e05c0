"""docs/scale.md: each line of its arithmetic comes to what it says, and its table to what one endpoint needs."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
LINE = re.compile(r"^(?P<what>[^:\n]+): +(?P<left>[\d ,.\xd7+/()e]+) = (?P<right>[\d,.]+)$", re.M)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def came(left: str) -> float:
    """What a line's left side comes to; it holds numbers and signs alone."""
    found: float = eval(left.replace(",", "").replace("\xd7", "*"), {"__builtins__": {}})
    return found


def of_one() -> dict[str, float]:
    return {line["what"].partition(" (")[0]: number(line["right"]) for line in LINE.finditer(PAGE)}


def test_its_lines_come_to_what_they_say() -> None:
    lines = list(LINE.finditer(PAGE))
    assert len(lines) == PAGE.count(" = ") - PAGE.count("port = 8080")
    for line in lines:
        assert abs(came(line["left"]) / number(line["right"]) - 1) < 0.002, line[0]


def test_its_table_is_so_many_times_one_endpoint() -> None:
    one = of_one()
    each = {
        "cores that answer at the peak": one["the same at the peak"],
        "log a day": one["bytes of log a day, MB"] / 1e3,
        "records of the ledger a day": one["records a day"],
        "points of metrics a day": one["points a day"],
        "PostgreSQL after a year": one["bytes of PostgreSQL a day, KB"] * 365 / 1e6,
        "time of PostgreSQL's one writer, s a day": one["records a day"] * 0.0009 + 4 * 0.0038,
        "pages: cores in the busy hours": one["CPU of its team's pages, s a day"] * 0.8 / 28_800,
    }
    for what, needed in each.items():
        row = re.search(rf"^\| {re.escape(what)} \| ([\d,.]+)[ GB]* \| ([\d,.]+)[ GB]* \|", PAGE, re.M)
        assert row is not None, what
        for times, said in ((10, row[1]), (1000, row[2])):
            assert abs(number(said) / (needed * times) - 1) < 0.1, (what, times)
