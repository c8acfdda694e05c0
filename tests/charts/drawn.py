"""Reading a drawing back: as XML, and its lineage as boxes and edges."""

import re
from itertools import pairwise
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
Place = tuple[float, float]
Rectangle = tuple[float, float, float, float]


def read(svg: str) -> ElementTree.Element:
    """The drawing as XML, once what every drawing promises is seen to hold."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == ("img" if root.find(f".//{SVG}a") is None else "group")
    assert root[0].tag == f"{SVG}title"
    assert (root[0].text or "").strip()
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    assert (left, top) == (0, 0)
    assert width > 0
    assert height > 0
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {
            "svg", "title", "desc", "text", "line", "rect", "circle", "path", "g", "a",
        }  # fmt: skip
        assert not [name for name in element.attrib if name.startswith("on") or name in {"style", "id"}]
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "d"):
            assert not re.search(r"nan|inf|e[+-]?\d", element.get(name, "")), element.attrib
    return root


def words(svg: str) -> list[str]:
    """What is written on the paper, without what a tool tip tells."""
    return [
        "".join([element.text or "", *(child.tail or "" for child in element)])
        for element in read(svg).iter(f"{SVG}text")
    ]


def told(svg: str) -> list[str]:
    """Titles and descriptions."""
    root = read(svg)
    return [element.text or "" for kind in ("title", "desc") for element in root.iter(SVG + kind)]


def boxes(svg: str) -> list[Rectangle]:
    """Left, top, right, bottom of each node."""
    found = []
    for rect in read(svg).iter(f"{SVG}rect"):
        if rect.get("class") == "box":
            x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def edges(svg: str) -> list[list[Place]]:
    """Each edge as places close to each other along its path."""
    return [_flat(path.attrib["d"]) for path in read(svg).iter(f"{SVG}path") if path.get("class") == "edge"]


def _flat(path: str, steps: int = 24) -> list[Place]:
    places: list[Place] = []
    for command, given in re.findall(r"([MHC])([^MHC]*)", path):
        numbers = [float(number) for number in given.split()]
        if command == "M":
            places.append((numbers[0], numbers[1]))
            continue
        start = places[-1]
        if command == "H":
            corners = [start, start, (numbers[0], start[1]), (numbers[0], start[1])]
        else:
            corners = [start, *zip(numbers[::2], numbers[1::2], strict=True)]
        places += [_on_curve(corners, step / steps) for step in range(1, steps + 1)]
    return places


def _on_curve(corners: list[Place], share: float) -> Place:
    while len(corners) > 1:
        corners = [(a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in pairwise(corners)]
    return corners[0]


def is_behind(edge: list[Place], box: Rectangle) -> bool:
    """Whether an edge runs within a box; touching its border, as at its own ends, is not within."""
    left, top, right, bottom = (box[0] + 0.2, box[1] + 0.2, box[2] - 0.2, box[3] - 0.2)
    return any(left < x < right and top < y < bottom for x, y in edge)
