"""The page on features says what works: its declarations are made, and their examples and twins hold."""

import re
from pathlib import Path
from typing import Any

import polars as pl

from slipway.features.examples import failed_examples
from slipway.features.scalar_columns import proven_twins
from slipway.features.scalars import Feature
from slipway.features.specs import FrameTables, build_spec

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_its_declarations_hold() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)[0]
    made: dict[str, Any] = {"__name__": "features_page"}
    exec(code, made)
    declared = [value for value in made.values() if isinstance(value, Feature)]
    assert [failed_examples(feature) for feature in declared] == [[], []]
    instant = pl.Datetime("us", "UTC")
    flights = {"id": pl.Int64, "known_at": instant, "origin": pl.String, "dest": pl.String, "carrier": pl.String}
    weather = {"origin": pl.String, "observed_at": instant, "temp": pl.Float64, "visib": pl.Float64}
    frames = {
        "flights": pl.DataFrame(schema=flights | {"dep_delay": pl.Float64}),
        "weather": pl.DataFrame(schema=weather),
    }
    request: dict[str, Any] = {
        "distance": "int",
        "scheduled_departure": "datetime",
        "origin": "string",
        "dest": "string",
    }
    spec = build_spec(made["features"], request, FrameTables(frames, {"flights": ("id",)}), lambda function: "")
    proven_twins(spec, made["features"].functions, declared)
    assert len(spec.features) == 3 + 2 * 5 + 2
