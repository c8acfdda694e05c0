"""The log of a real endpoint, read by three programs that know nothing of it: Polars, DuckDB and Spark."""

import json
import os
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import endpoint_folder as ef
import polars as pl
import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.tables.log_compaction import compact
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.tables.log_rolling import roll

pytestmark = pytest.mark.full

SPARK = Path(__file__).parents[2] / ".venv" / "spark" / "bin" / "python"
ROWS: list[dict[str, Any]] = [
    {"flight_id": "UA1", "a": 30.0, "b": 40.0, "carrier": "ÜA", "left": "2013-04-01T10:00:00.000001Z", "day": "2013-04-01",
     "wait": "PT90S", "seats": 7, "is_late": True},
    {"flight_id": "UA2", "a": 3.0, "b": 4.0, "carrier": None, "left": None, "day": None, "wait": None, "seats": None,
     "is_late": None},
]  # fmt: skip
FIELDS = (
    *ef.FIELDS,
    Field("carrier", "category", categories=("AA",)),
    Field("left", "datetime"),
    Field("day", "date"),
    Field("wait", "duration"),
    Field("seats", "int"),
    Field("is_late", "bool"),
)
INPUTS = (Field("a", "float"), Field("b", "float"))
AT = datetime(2013, 3, 31, 23, 59, 58, tzinfo=UTC)
VALUES = (
    ("UA1", 30.0, "ÜA", "2013-04-01 10:00:00.000001", "2013-04-01", 90_000_000, 7, True),
    ("UA2", 3.0, None, None, None, None, None, None),
)
COLUMNS = ("key", "at", "log_day", "score", "decision", "a", "carrier", "left", "day", "wait", "seats", "seats.float",
           "is_late", "Carrier.2")  # fmt: skip
READ = """
import json, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
spark.conf.set("spark.sql.session.timeZone", "UTC")
found = spark.read.option("mergeSchema", "true").parquet(sys.argv[1])
types = {field.name: field.dataType.simpleString() for field in found.schema}
rows = found.select([found[f"`{name}`"] for name in json.loads(sys.argv[2])]).orderBy("at", "key").collect()
labels = spark.read.option("mergeSchema", "true").parquet(sys.argv[3])
print(json.dumps([types, [list(row) for row in rows], [list(row) for row in labels.select("key", "value").collect()]], default=str))
spark.stop()
"""


@pytest.fixture
def log(workspace: Workspace) -> Path:
    """Two contracts, small files and larger ones, days on both sides of midnight, and what a killed process left."""
    folder = ef.folder_of(workspace)
    later = tuple(Field("seats", "float") if one.name == "seats" else one for one in FIELDS)
    for number, fields in ((1, FIELDS), (2, (*later, Field("Carrier", "string")))):
        revision = ef.deploy(workspace, ef.a_model(list(INPUTS)), fields, number=number, simulation=True)
        write_layout(folder / "log", LogLayout(number, revision.served.bundle[:16], fields, INPUTS))
        more = {"seats": 7.5, "Carrier": "x"} if number == 2 else {}
        for seconds in ((0,), (1, 2)) if number == 1 else ((0, 1, 2),):
            with EndpointClient(ProcessLauncher().ensure(folder).url, ef.NAME) as client:
                for second in seconds:
                    client.predict([row | more for row in ROWS], at=AT + timedelta(days=number, seconds=second))
                client.labels([{"key": {"flight_id": "UA1"}, "value": 1.0}])
            ProcessLauncher().stop(folder)
            roll(folder / "log")
        compact(folder / "log", many=2 if number == 1 else 9)
    found: Path = folder / "log"
    assert [len(list(day.glob("*.parquet"))) for day in sorted(found.glob("parquet/predictions/*"))] == [1, 2, 1]
    for day in found.glob("parquet/predictions/*"):
        (day / ".killed.parquet.part").write_bytes(b"half")
    return found


def expected() -> list[list[Any]]:
    rows = []
    for number, second, ((key, *values), score) in product((1, 2), range(3), zip(VALUES, (0.07, 0.007), strict=True)):
        at = AT + timedelta(days=number, seconds=second)
        *first, seats, is_late = values
        own = [seats, None] if number == 1 else [None, 7.5]
        more = [*first, *own, is_late, None if number == 1 else "x"]
        rows.append([key, f"{at:%Y-%m-%d %H:%M:%S}", f"{at:%Y-%m-%d}", score, None, *more])
    return rows


def as_said(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Values of any reader, as plain ones: instants and days as text, durations in microseconds."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return str(value.replace(tzinfo=None))
        if isinstance(value, timedelta):
            return value // timedelta(microseconds=1)
        return round(value, 9) if isinstance(value, float) else str(value) if isinstance(value, date) else value

    return [[plain(value) for value in row] for row in rows]


@pytest.mark.long
def test_polars_duckdb_and_spark_read_the_same_rows_of_a_real_endpoint(log: Path) -> None:
    files = sorted(log.glob("parquet/predictions/**/*.parquet"))
    lazy = pl.concat([pl.scan_parquet(one, hive_partitioning=True) for one in files], how="diagonal_relaxed")
    assert as_said(lazy.select(COLUMNS).sort("at", "key").collect().rows()) == expected()
    # DuckDB hands out instants with a zone by a library that nothing else needs.
    names = ", ".join(f'"{name}"' + ("::timestamp" if name in ("at", "left") else "") for name in COLUMNS)
    scan = f"read_parquet('{log}/parquet/predictions/**/*.parquet', union_by_name = true, hive_partitioning = true)"
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        assert as_said(connection.execute(f'select {names} from {scan} order by "at", key').fetchall()) == expected()
    if not SPARK.exists() or shutil.which("java") is None:
        pytest.skip("Spark is not installed: make .venv/stamps/spark, and have Java 17 on the path")
    asked = [str(log / "parquet" / "predictions"), json.dumps(COLUMNS), str(log / "parquet" / "labels")]
    environment = {**os.environ, "TZ": "UTC"}
    run = subprocess.run([SPARK, "-c", READ, *asked], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    types, rows, labels = json.loads(run.stdout.splitlines()[-1])
    assert [[round(v, 9) if isinstance(v, float) else v for v in row] for row in rows] == expected()
    assert labels == [["UA1", 1.0]] * 3
    assert {name: types[name] for name in ("at", "log_day", "wait", "seats", "seats.float", "decision", "left", "day")} == {
        "at": "timestamp", "log_day": "date", "wait": "bigint", "seats": "bigint", "seats.float": "double",
        "decision": "boolean", "left": "timestamp", "day": "date",
    }  # fmt: skip
