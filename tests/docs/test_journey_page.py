"""What docs/journey.md and docs/cost.md say of items, rules and settings is what the code does."""

import re
from datetime import timedelta
from pathlib import Path

import msgspec

from slipway.flows import costs, delivery, journey
from slipway.flows.journey_evidence import Known
from slipway.flows.journey_items import items_of
from slipway.hosts.settings import read_settings
from slipway.records.costs import Rates

HERE = Path(__file__).parents[2] / "docs"
JOURNEY, COST = (HERE / "journey.md").read_text(), (HERE / "cost.md").read_text()


def test_its_table_names_every_item_in_order() -> None:
    rows = re.findall(r"^\| ([012]) \| ([\w/]+) \| ([\w -]+) \|", JOURNEY, re.M)
    assert [(int(level), stage, name) for level, stage, name in rows] == [
        (one.level, one.stage, one.name) for one in items_of(Known(model="m"))
    ]


def test_its_rules_have_the_limits_of_the_code() -> None:
    assert f"less than {journey.LOW_VALUE:,.0f} a year" in JOURNEY
    assert f"at most {journey.FEW_CHANGES} times in {journey.RECENT // timedelta(days=1)} days" in JOURNEY
    assert delivery.FEWEST == 5
    assert "Below five\ndeployments" in JOURNEY
    assert f"for {costs.IDLE_DAYS} days" in COST


def test_its_rates_are_settings(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", COST, re.S | re.M)
    (tmp_path / "slipway.toml").write_text(f'[project]\nname = "flights"\n{block}')
    found = read_settings(tmp_path).cost
    assert all(getattr(found, field.name) for field in msgspec.structs.fields(Rates))
