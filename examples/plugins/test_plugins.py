"""The suites that come with Slipway, on the plug-ins of this package."""

import gzip
import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
from slipway_examples.check import barcode
from slipway_examples.format import Scorecard, ScorecardFormat
from slipway_examples.monitor import stuck_score
from slipway_examples.notifier import Mailbox
from slipway_examples.source import GzippedLines
from slipway_examples.trigger import file_arrived

from slipway.conformance.check import CheckSuite
from slipway.conformance.model_formats import Fitted, ModelFormatSuite
from slipway.conformance.monitor import MonitorSuite
from slipway.conformance.notifier import NotifierSuite
from slipway.conformance.source import SourceSuite
from slipway.conformance.trigger import TriggerSuite
from slipway.records.notifications import ChannelSettings


class TestBarcode(CheckSuite):
    def make(self):
        return barcode("code")

    def right(self):
        return pl.DataFrame({"code": ["4006381333931", "9780306406157"]})

    def wrong(self):
        return pl.DataFrame({"code": ["4006381333932", "400638133393", "40063813339310", "400638133393x", ""]})


class TestStuckScore(MonitorSuite):
    def make(self, rows):
        return stuck_score(rows, share=0.8)

    def well(self):
        return answered([place / 100 for place in range(100)])

    def ill(self):
        return answered([0.5] * 95 + [0.1, 0.2, 0.3, 0.4, 0.6])


class TestMailbox(NotifierSuite):
    def make(self, folder):
        self.folder = folder / "mailbox"
        self.folder.mkdir()
        return Mailbox(ChannelSettings(kind="mailbox", url=str(self.folder)))

    def lose(self):
        self.folder.rmdir()
        return True

    def refuse(self):
        return False  # a folder takes every message, or is away

    def came(self):
        return [json.loads(path.read_text())["text"] for path in sorted(self.folder.glob("*.json"))]


class TestFileArrived(TriggerSuite):
    def make(self, folder, now):
        return file_arrived(now, path=str(folder / "orders.csv"))

    def happen(self, folder, number):
        (folder / "orders.csv").write_text(f"order {number}")

    def lose(self, folder):
        shutil.rmtree(folder)
        return True


class TestGzippedLines(SourceSuite):
    def make(self, folder, rows):
        with gzip.open(folder / "rows.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        return GzippedLines(folder, path="rows.jsonl.gz")

    def lose(self, folder):
        (folder / "rows.jsonl.gz").unlink()

    def cut(self, folder):
        whole = (folder / "rows.jsonl.gz").read_bytes()
        (folder / "rows.jsonl.gz").write_bytes(whole[: len(whole) // 2])


class TestScorecard(ModelFormatSuite):
    def make(self):
        return ScorecardFormat()

    def estimators(self):
        frame = pd.DataFrame({"age": [30.0, 41.5, 67.0], "income": [1.0, 2.5, 0.5]})
        matrix = np.arange(6.0).reshape(3, 2)
        return [
            Fitted(estimator=Scorecard(points), x=x, rows=np.asarray(x).tolist(), task="regression")
            for points, x in (([2, 0.5], frame), ([1, -3], matrix))
        ]


def answered(scores):
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "distance": [100 + place for place in range(len(scores))],
            "score": scores,
            "label": [float(place % 2) for place in range(len(scores))],
            "at": [start + timedelta(minutes=place) for place in range(len(scores))],
        }
    )
