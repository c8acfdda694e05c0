"""The style sheets: joined into one, so that what one part calls a thing no other part may call another."""

import re
from collections import defaultdict
from pathlib import Path

import slipway

STATIC = Path(slipway.__file__).parent / "server" / "static"


def test_no_two_parts_give_one_class_two_looks() -> None:
    """A rule that begins with a class belongs to the part that made the class; style.css holds what is everybody's."""
    makers: dict[str, set[str]] = defaultdict(set)
    for sheet in STATIC.glob("*.css"):
        if sheet.name == "style.css":
            continue
        for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", sheet.read_text()):
            for selector in selectors.split(","):
                if bare := re.fullmatch(r"\s*\.([a-z-]+)\s*", selector):
                    makers[bare[1]].add(sheet.name)
    assert {name: sorted(parts) for name, parts in makers.items() if len(parts) > 1} == {}


def test_no_sheet_loads_anything() -> None:
    for sheet in STATIC.glob("*.css"):
        assert "url(" not in sheet.read_text(), sheet.name
        assert "@import" not in sheet.read_text(), sheet.name
