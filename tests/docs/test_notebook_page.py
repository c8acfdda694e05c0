"""The page on notebooks says what comes out: its cells become the function that it shows."""

import json
import random
import re
from pathlib import Path

import pytest

from slipway.flows.from_notebook import draft

pytest.importorskip("sklearn", reason="the page's notebook needs scikit-learn: pip install 'slipway[sklearn]'")
PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"


def test_its_cells_become_its_function(tmp_path: Path) -> None:
    cells, function = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    sources = re.split(r"# cell \d\n", cells)[1:]
    notebook = {
        "cells": [{"cell_type": "code", "execution_count": None, "source": source.strip()} for source in sources],
        "metadata": {},
    }
    (tmp_path / "shop.ipynb").write_text(json.dumps(notebook))
    chance = random.Random(1)
    rows = [
        (chance.choice(["", "12.5", "40.0", "7.25"]), chance.choice(["", 1, 2, 3]), i % 3 > 0, f"c{i}")
        for i in range(80)
    ]
    lines = [f"{spent},{visits},{int(stays)},{name}" for spent, visits, stays, name in rows]
    (tmp_path / "shop.csv").write_text("\n".join(["spent,visits,stays,customer", *lines]) + "\n")
    made = draft(tmp_path / "shop.ipynb", project="shop")
    assert function.strip() in made.text
    assert made.made.columns == ["spent", "visits"]
    assert list(made.files) == ["shop.csv"]
    assert made.rows_alone == 80
