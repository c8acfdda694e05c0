"""What went into what, walked both ways."""

from slipway.ledger import lineage
from slipway.ports.workspace import Workspace
from slipway.records.record import Link


def test_the_walk_finds_what_led_to_a_node_and_what_came_of_it(workspace: Workspace) -> None:
    made = [
        ("table:a", "run:1", "input"),
        ("table:b", "run:1", "input"),
        ("run:1", "model:m", "output"),
        ("model:m", "revision:e/1", "served"),
        ("table:a", "run:2", "input"),
        ("run:2", "model:n", "output"),
    ]
    with workspace.ledger.write() as tx:
        for source, target, role in made:
            lineage.link(tx, source, target, role)
    with workspace.ledger.read() as tx:
        found = lineage.trace(tx, "model:m")
        assert found == [Link(*each) for each in (made[2], made[0], made[1], made[3])]
        assert lineage.trace(tx, "nothing:here") == []
        assert len(lineage.trace(tx, "table:a", limit=2)) == 2


def test_a_circle_ends(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        lineage.link(tx, "a:1", "b:1", "x")
        lineage.link(tx, "b:1", "a:1", "x")
    with workspace.ledger.read() as tx:
        assert set(lineage.trace(tx, "a:1")) == {Link("a:1", "b:1", "x"), Link("b:1", "a:1", "x")}
