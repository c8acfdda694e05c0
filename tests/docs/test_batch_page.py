"""The page on batch endpoints: what it declares is one, and its table names every column of scores."""

import re
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from slipway.flows.batch_endpoint import SCORE_COLUMNS, BatchEndpoint
from slipway.operations.scorings import operations

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text()


def test_what_it_declares_is_a_batch_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    assert block is not None
    (tmp_path / "batch_page.py").write_text(block[1])
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("batch_page", None)
    declared: BatchEndpoint = import_module("batch_page").nightly
    kept = declared.declared("flights", datetime(2013, 4, 1, tzinfo=UTC)).batch
    assert kept is not None
    assert (kept.table, kept.into, kept.time, len(kept.when)) == ("flights", "scored_flights", "scheduled_departure", 2)


def test_it_names_every_column_of_scores_and_every_operation() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", PAGE, re.M)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(SCORE_COLUMNS)
    assert {one.name for one in operations} == set(re.findall(r"`(scorings\.\w+)`", PAGE))
