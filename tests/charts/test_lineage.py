"""The drawing of a lineage: no edge behind a box, names that cannot break out, links that lead nowhere bad."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, boxes, edges, is_behind, read, told, words

from slipway.charts.lineage import Node, lineage_graph
from slipway.errors import InvalidInput

KINDS = ["table", "run", "artifact", "model", "bundle", "verdict", "approval", "revision"]


@st.composite
def lineages(draw: st.DrawFn, *, acyclic: bool) -> tuple[list[Node], list[tuple[str, str, str]]]:
    count = draw(st.integers(1, 14))
    names = draw(st.lists(st.text(max_size=30), min_size=count, max_size=count))
    nodes = [Node(f"n{index}", draw(st.sampled_from([*KINDS, "", "other"])), name) for index, name in enumerate(names)]
    node = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=30))
    if acyclic:
        pairs = [(min(pair), max(pair)) for pair in pairs]
    return nodes, [(nodes[a].id, nodes[b].id, "made") for a, b in pairs]


def behind(svg: str) -> int:
    return sum(is_behind(edge, box) for edge in edges(svg) for box in boxes(svg))


@given(lineages(acyclic=True))
@settings(deadline=None, max_examples=150)
def test_no_edge_runs_behind_a_box(lineage: tuple[list[Node], list[tuple[str, str, str]]]) -> None:
    nodes, links = lineage
    svg = lineage_graph(nodes, links)
    assert svg == lineage_graph(nodes, links)
    assert len(boxes(svg)) == len(nodes)
    assert len(edges(svg)) == len({(a, b) for a, b, _ in links if a != b})
    assert behind(svg) == 0


@given(lineages(acyclic=False))
@settings(deadline=None, max_examples=60)
def test_no_edge_of_a_cycle_runs_behind_a_box_either(lineage: tuple[list[Node], list[tuple[str, str, str]]]) -> None:
    assert behind(lineage_graph(*lineage)) == 0


@given(lineages(acyclic=True))
@settings(deadline=None, max_examples=60)
def test_everything_is_on_the_paper(lineage: tuple[list[Node], list[tuple[str, str, str]]]) -> None:
    svg = lineage_graph(*lineage)
    width, height = (float(read(svg).attrib[name]) for name in ("width", "height"))
    corners = [(x, y) for left, top, right, bottom in boxes(svg) for x, y in ((left, top), (right, bottom))]
    assert all(
        0 < x < width and 0 < y < height for x, y in [*corners, *(place for edge in edges(svg) for place in edge)]
    )


def test_a_long_edge_goes_around_what_stands_in_its_way() -> None:
    svg = lineage_graph([], [("table:a", "run:b"), ("run:b", "model:c"), ("table:a", "model:c")])
    assert behind(svg) == 0
    straight = [(float(x), boxes(svg)[0][1] + 20) for x in range(0, 400, 5)]
    assert any(is_behind(straight, box) for box in boxes(svg)), "the straight way would have been behind the run"


def test_ends_that_are_no_node_are_named_as_the_ledger_writes_them() -> None:
    svg = lineage_graph(
        [Node("run:r-1", "run", "training")], [("table:flights@1b2c", "run:r-1", "data"), ("run:r-1", "odd")]
    )
    assert {"table", "flights@1b2c", "run", "training", "odd"} == set(words(svg))
    assert "flights@1b2c → training: data" in told(svg)
    assert "3 nodes (1 run, 1 table, 1 other) and 2 links, from left to right" in told(svg)


def test_a_link_given_twice_is_drawn_once_with_both_roles() -> None:
    svg = lineage_graph([], [("a:1", "b:1", "data"), ("a:1", "b:1", "parent"), ("a:1", "b:1", "data")])
    assert len(edges(svg)) == 1
    assert "1 → 1: data, parent" in told(svg)


def test_a_long_label_is_shortened_and_told_in_full() -> None:
    name = "delays_by_origin_and_carrier_and_hour_of_the_day@0f9e8d7c"
    svg = lineage_graph([Node("t", "table", name)], [])
    assert name not in words(svg)
    assert any(word.endswith("0f9e8d7c") for word in words(svg))
    assert f"table {name}" in told(svg)
    ((left, _, right, _),) = boxes(svg)
    assert right - left <= 176


@pytest.mark.parametrize(
    "name", ["</title><script>alert(1)</script>", '"><image href=x onerror=alert(1)>', "\0\ud800&"]
)
def test_hostile_names_stay_text(name: str) -> None:
    svg = lineage_graph(
        [Node(name, name, name, href=f"/models/{name}")], [(name, name + "2", name)], title=name, focus=name
    )
    read(svg)
    assert "<script" not in svg
    assert "<image" not in svg


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "JAVA\nSCRIPT:x", ""]
)
def test_a_link_that_could_be_a_script_leads_nowhere(href: str) -> None:
    assert "href" not in lineage_graph([Node("m", "model", "delay", href)], [])


@pytest.mark.parametrize("href", ["/projects/demo/models/delay/3?a=1&b=2", "https://example.org/", "#here", "../runs"])
def test_a_link_is_kept(href: str) -> None:
    (link,) = read(lineage_graph([Node("m", "model", "delay", href)], [])).iter(f"{SVG}a")
    assert link.get("href") == href


def test_the_focus_stands_out_and_kinds_have_colours_of_their_own() -> None:
    nodes = [Node(kind, kind, kind) for kind in KINDS]
    rects = list(read(lineage_graph(nodes, [], focus="model")).iter(f"{SVG}rect"))
    assert len({rect.get("fill") for rect in rects}) == len(KINDS)
    assert all(
        (rect.get("fill") or "").startswith(f"var(--kind-{kind}, #") for rect, kind in zip(rects, KINDS, strict=True)
    )
    heavy = [kind for rect, kind in zip(rects, KINDS, strict=True) if rect.get("stroke-width") == "2.2"]
    assert heavy == ["model"]


def test_an_arrow_that_closes_a_cycle_is_dashed() -> None:
    svg = lineage_graph([], [("a", "b"), ("b", "a")])
    dashes = [path.get("stroke-dasharray") for path in read(svg).iter(f"{SVG}path") if path.get("class") == "edge"]
    assert dashes == [None, "5 4"]


def test_two_nodes_with_one_id_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'m'"):
        lineage_graph([Node("m", "model", "a"), Node("m", "model", "b")], [])


def test_nothing_is_said_to_be_nothing() -> None:
    assert "Nothing to show: no links are recorded" in words(lineage_graph([], []))


def test_drawings_share_no_id_so_that_a_page_may_hold_many() -> None:
    svg = lineage_graph([], [("a:1", "b:1")])
    assert " id=" not in svg
    assert "url(#" not in svg
