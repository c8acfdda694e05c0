"""Where boxes and edges lie: sources to the left, no box on another, straight where it can be."""

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.charts.layout import Layout, lay_out


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> tuple[dict[str, float], list[tuple[str, str]]]:
    count = draw(st.integers(0, 12))
    names = [f"n{index}" for index in range(count)]
    widths = {name: draw(st.floats(40, 180)) for name in names}
    node = st.integers(0, max(0, count - 1))
    pairs = draw(st.lists(st.tuples(node, node), max_size=24)) if count else []
    if acyclic:
        pairs = [(min(pair), max(pair)) for pair in pairs]
    return widths, [(names[a], names[b]) for a, b in pairs]


def middles(layout: Layout) -> dict[str, float]:
    return {name: box.y + box.height / 2 for name, box in layout.boxes.items()}


@given(graphs(acyclic=False))
@settings(deadline=None)
def test_every_node_has_a_box_of_its_own_on_the_paper_and_every_edge_its_ends(
    graph: tuple[dict[str, float], list[tuple[str, str]]],
) -> None:
    widths, edges = graph
    layout = lay_out(widths, edges)
    assert layout == lay_out(widths, edges)
    assert list(layout.boxes) == list(widths)
    for name, box in layout.boxes.items():
        assert box.width >= widths[name]
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for one, other in combinations(layout.boxes.values(), 2):
        assert (
            one.x + one.width < other.x
            or other.x + other.width < one.x
            or one.y + one.height < other.y
            or other.y + other.height < one.y
        )
    assert [(route.source, route.target) for route in layout.routes] == list(
        dict.fromkeys((a, b) for a, b in edges if a != b)
    )
    for route in layout.routes:
        source, target = layout.boxes[route.source], layout.boxes[route.target]
        assert route.corners[0][0] in (source.x, source.x + source.width)
        assert route.corners[-1][0] in (target.x, target.x + target.width)
        assert len(route.corners) % 2 == 0
        assert all(0 <= y <= layout.height for _, y in route.corners)
        assert all(a[1] == b[1] for a, b in list(pairwise(route.corners))[1::2]), "a lane is straight"


@given(graphs(acyclic=True))
@settings(deadline=None)
def test_without_a_cycle_every_edge_leads_to_the_right(graph: tuple[dict[str, float], list[tuple[str, str]]]) -> None:
    layout = lay_out(*graph)
    for route in layout.routes:
        xs = [x for x, _ in route.corners]
        assert xs == sorted(xs)
        assert layout.boxes[route.source].x < layout.boxes[route.target].x


def test_the_way_to_production_is_one_straight_line() -> None:
    names = ["flights", "weather", "planes", "run", "model", "bundle", "verdict", "approval", "revision"]
    edges = [(table, "run") for table in names[:3]] + [("run", "model"), ("model", "bundle")]
    edges += [("bundle", name) for name in names[6:]]
    layout = lay_out(dict.fromkeys(names, 90.0), edges)
    y = middles(layout)
    assert y["weather"] == y["run"] == y["model"] == y["bundle"] == y["approval"]
    assert y["flights"] < y["weather"] < y["planes"]
    assert y["weather"] - y["flights"] == y["planes"] - y["weather"]
    assert len({box.x for box in layout.boxes.values()}) == 5


def test_two_sources_stand_above_and_below_what_they_make() -> None:
    y = middles(lay_out(dict.fromkeys("abc", 80.0), [("a", "c"), ("b", "c")]))
    assert y["c"] == (y["a"] + y["b"]) / 2


def test_edges_that_need_not_cross_do_not() -> None:
    layout = lay_out(dict.fromkeys("abcdef", 80.0), [("a", "f"), ("b", "e"), ("c", "d")])
    assert all(route.corners[0][1] == route.corners[-1][1] for route in layout.routes)


def test_a_source_stands_next_to_what_it_goes_into() -> None:
    layout = lay_out(
        dict.fromkeys(["raw", "clean", "late", "model"], 80.0),
        [("raw", "clean"), ("clean", "model"), ("late", "model")],
    )
    assert layout.boxes["late"].x == layout.boxes["clean"].x


def test_an_edge_that_closes_a_cycle_leads_back() -> None:
    layout = lay_out(dict.fromkeys("abc", 80.0), [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("a", "a")])
    back = {(route.source, route.target) for route in layout.routes if route.corners[0][0] > route.corners[-1][0]}
    assert back == {("c", "a"), ("b", "a")}


def test_a_long_chain_and_a_great_fan_are_laid_out() -> None:
    chain = [(f"n{index}", f"n{index + 1}") for index in range(1500)]
    layout = lay_out({name: 80.0 for edge in chain for name in edge}, chain)
    assert len(set(middles(layout).values())) == 1
    fan = [("hub", f"n{index}") for index in range(400)]
    assert lay_out({name: 80.0 for edge in fan for name in edge}, fan).height > 400 * 40
