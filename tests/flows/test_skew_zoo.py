"""The zoo: kinds of train/serve skew, each injected into a release, and what stops it before anybody is answered.

Most are one text changed in the code that serves; the others are changed tables, callers, training steps, locks, or
rules of the online path. Each is released for real and judged by the certificate, the environment and a replay, in
which the endpoint's own code answers. docs/skew.md holds the table of what came of it.
"""

import dataclasses
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
import test_skew_mutants as mutants
from zoo_desk import Zoo, opened_zoo

from slipway.backends.clocks import SimulatedClock
from slipway.errors import SlipwayError
from slipway.flows.release import Released, run_pipeline
from slipway.models import registry

pytestmark = pytest.mark.full

NOW = datetime(2013, 4, 9, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "skew.md"
Stopped = tuple[str, str]
Kind = Callable[[Zoo, pytest.MonkeyPatch], Stopped]


@dataclasses.dataclass(frozen=True)
class Skew:
    """One kind: what it is called, which check stops it, and how it is injected and judged."""

    name: str
    by: str
    inject: Kind


def code(name: str, old: str, new: str, by: str = "replay") -> Skew:
    """The code that serves says something else than the code that trained."""

    def inject(zoo: Zoo, patch: pytest.MonkeyPatch) -> Stopped:
        return zoo.stopped_by(zoo.serving(first(zoo), zoo.variant(old, new)))

    return Skew(name, by, inject)


def training(name: str, how: str) -> Skew:
    """A training step alters the rows between the features and the fit."""
    return Skew(name, "replay", lambda zoo, patch: zoo.stopped_by(version_of(zoo.release(how=how))))


def table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame], which: str = "rates", by: str = "replay") -> Skew:
    """What feeds the online store is not what fed the training."""

    def inject(zoo: Zoo, patch: pytest.MonkeyPatch) -> Stopped:
        released = first(zoo)
        made = zoo.module.rates_of(1) if which == "rates" else zoo.module.orders_of(1)
        zoo.write(**{which: change(made)})
        try:
            version = zoo.serving(released, zoo.module)
        except SlipwayError as problem:
            return "release", str(problem)
        return zoo.stopped_by(version)

    return Skew(name, by, inject)


def caller(name: str, **fields: Callable[[Any], Any] | None) -> Skew:
    """The caller writes its requests otherwise."""

    def change(row: dict[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in row.items() if fields.get(key, key) is not None}
        return {key: make(found[key]) if (make := fields.get(key)) else found[key] for key in found}

    return Skew(name, "contract", lambda zoo, patch: zoo.stopped_by(version_of(first(zoo)), change=change))


def rule(name: str, mutant: Callable[[pytest.MonkeyPatch], None]) -> Skew:
    """One rule of the online path is another one than offline's."""

    def inject(zoo: Zoo, patch: pytest.MonkeyPatch) -> Stopped:
        released = first(zoo)
        mutant(patch)
        return zoo.stopped_by(zoo.serving(released, zoo.module, anew=True))

    return Skew(name, "certificate", inject)


def first(zoo: Zoo) -> Released:
    return zoo.release()


def version_of(released: Released) -> Any:
    assert released.version is not None
    return released.version


def not_refreshed(zoo: Zoo, patch: pytest.MonkeyPatch) -> Stopped:
    version = version_of(first(zoo))
    early = dataclasses.replace(zoo.workspace, clock=SimulatedClock(NOW - timedelta(days=8)))
    return zoo.stopped_by(version, workspace=early)


def another_library(zoo: Zoo, patch: pytest.MonkeyPatch) -> Stopped:
    version = version_of(first(zoo))
    environment = registry.bundle_of(zoo.workspace, version).environment
    assert environment is not None
    lock = tuple("lightgbm==3.3.5" if one.startswith("lightgbm==") else one for one in environment.lock)
    return zoo.stopped_by(version, environment=msgspec.structs.replace(environment, lock=lock))


def decomposed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("shop").map_elements(lambda t: unicodedata.normalize("NFD", t), pl.String))


ZOO = [
    code("units: a log of cents instead of euros", "math.log1p(amount)", "math.log1p(100 * amount)"),
    code("units of one feature: the price of all items", "None if amount is None else amount / items", "amount"),
    code(
        "sign turned round", "None if amount is None else amount / items", "None if amount is None else -amount / items"
    ),
    code("base of the logarithm", "math.log1p(amount)", "math.log10(1 + amount)"),
    code(
        "rounding", "None if amount is None else amount / items", "None if amount is None else round(amount / items, 1)"
    ),
    code(
        "integer division",
        "None if amount is None else amount / items",
        "None if amount is None else float(amount // items)",
    ),
    code("time zone: UTC instead of local", "placed_at.astimezone(BERLIN).hour", "placed_at.hour"),
    code("daylight saving: winter time all year", "placed_at.astimezone(BERLIN).hour", "(placed_at.hour + 1) % 24"),
    code("default changed", "return -1.0 if amount is None", "return 0.0 if amount is None"),
    code(
        "missing as 0",
        "return None if amount is None else amount / items",
        "return 0.0 if amount is None else amount / items",
    ),
    code(
        "missing as an empty text",
        "return 0 if note is None else len(note.strip())",
        "return len(str(note or 'None').strip())",
    ),
    code("category in capitals", "shop.strip().lower()[:8]", "shop.strip().upper()[:8]"),
    code("text not trimmed", "shop.strip().lower()[:8]", "shop.lower()[:8]"),
    code("text truncated", "shop.strip().lower()[:8]", "shop.strip().lower()[:4]"),
    code(
        "encoding: UTF-8 read as Latin-1",
        "shop.strip().lower()[:8]",
        "shop.encode().decode('latin-1').strip().lower()[:8]",
    ),
    code("time to live", 'ttl="5h")', 'ttl="1h")'),
    code(
        "future join: known when valid, not when observed",
        'time="observed_at", ttl="5h")\ndef bank(rates: pl.LazyFrame) -> pl.LazyFrame:\n    """The shop\'s rates as they were known."""\n    return rates.select("shop", "observed_at"',
        'time="valid_at", ttl="5h")\ndef bank(rates: pl.LazyFrame) -> pl.LazyFrame:\n    """The shop\'s rates as they were known."""\n    return rates.select("shop", "valid_at"',
    ),
    code("leak: orders known when placed", 'time="known_at"', 'time="placed_at"'),
    code("window boundary: five hours instead of six", '"6h"', '"5h"'),
    code("old version of a feature: the greatest instead of the mean", "sw.mean(", "sw.max("),
    code("null in an aggregate counts as 0", 'sw.mean("amount", "6h")', 'sw.mean("amount", "6h", default=0.0)'),
    code(
        "columns swapped in a view",
        '"rate", "refund")\n\n\n@sw.feature\n',
        'rate="refund", refund="rate")\n\n\n@sw.feature\n',
    ),
    training("scaler fitted in training alone", "scaled"),
    training("columns swapped in training alone", "swapped"),
    training("missing filled in training alone", "filled"),
    training("dtype: 32-bit floats in training alone", "narrowed"),
    training("future values in training alone", "shifted"),
    training("category spelled otherwise in training alone", "lower"),
    table("units of a feed: basis points", lambda rates: rates.with_columns(pl.col("rate") * 100)),
    table(
        "stale feed: the last days are missing",
        lambda rates: rates.filter(pl.col("observed_at") < NOW - timedelta(days=6)),
    ),
    table(
        "clock skew: a feed's clock is an hour fast",
        lambda rates: rates.with_columns(pl.col("observed_at") + timedelta(hours=1)),
    ),
    table("spelling of a key: decomposed accents", decomposed),
    table(
        "type of a key: numbers without leading zeros",
        lambda rates: rates.with_columns(pl.col("shop").str.replace("^0+", "")),
    ),
    table(
        "duplicate events",
        lambda orders: pl.concat(
            [orders, orders.with_columns(pl.concat_str(pl.lit("x"), "order_id").alias("order_id"))]
        ),
        "orders",
    ),
    table("column renamed in a feed", lambda rates: rates.rename({"refund": "repaid"}), by="release"),
    caller("decimal comma", amount=lambda value: None if value is None else str(value).replace(".", ",")),
    caller("dtype: a number as text", items=str),
    caller("missing as an empty text in a number", amount=lambda value: "" if value is None else value),
    caller("field renamed by the caller", items=None),
    caller("instant without a time zone", placed_at=lambda value: value.removesuffix("Z").removesuffix("+00:00")),
    rule("tie rule: the other of two rows at one time", mutants.lesser_of_two_contents_counts),
    rule("window holds its beginning", mutants.window_holds_its_beginning),
    rule("time to live excludes its end", mutants.ttl_excludes_its_end),
    rule("offset of a pushed instant is dropped", mutants.offsets_are_dropped),
    rule("null becomes 0 on its way to a function", mutants.calls_with_nulls),
    Skew("online store not refreshed", "replay", not_refreshed),
    Skew("version of a library", "environment", another_library),
]
QUICK = (
    "base of the",
    "daylight",
    "scaler",
    "units of a feed",
    "decimal comma",
    "version of a lib",
    "online store not",
)


@pytest.fixture(scope="session")
def released_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, clean and released once."""
    folder = tmp_path_factory.mktemp("zoo") / "orders"
    with opened_zoo(folder, NOW) as zoo:
        zoo.write()
        assert zoo.stopped_by(version_of(zoo.release())) == ("", "")
    return folder


@pytest.fixture
def zoo(released_zoo: Path, tmp_path: Path) -> Iterator[Zoo]:
    shutil.copytree(released_zoo, tmp_path / "orders")
    with opened_zoo(tmp_path / "orders", NOW) as opened:
        yield opened


@pytest.mark.parametrize(
    "skew",
    [
        pytest.param(skew, id=skew.name, marks=() if skew.name.startswith(QUICK) else (pytest.mark.full,))
        for skew in ZOO
    ],
)
def test_a_skew_is_stopped_before_traffic(skew: Skew, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    by, told = skew.inject(zoo, monkeypatch)
    assert (by, bool(told)) == (skew.by, True), told


CLEAN = [
    ("", ""),
    ('"6h"', '"36h"'),
    ('ttl="5h"', 'ttl="45m"'),
    ('sw.mean("amount"', 'sw.std("amount"'),
    ('sw.max("items"', 'sw.quantile("amount", 0.9'),
]


@pytest.mark.parametrize("seeds", [3, pytest.param(100, marks=pytest.mark.long)])
def test_no_clean_release_is_stopped(seeds: int, zoo: Zoo) -> None:
    stopped = []
    for seed in range(seeds):
        old, new = CLEAN[seed % len(CLEAN)]
        module = zoo.variant(old, new) if old else zoo.module
        zoo.write(seed)
        released = run_pipeline(zoo.workspace, module.release, {"rounds": 3 + seed % 4}, endpoint=module.endpoint)
        if (found := zoo.stopped_by(version_of(released))) != ("", ""):
            stopped.append((seed, found))
    assert not stopped


def test_the_page_tells_every_kind_and_what_stops_it() -> None:
    table = PAGE.read_text().partition("| kind of skew | stopped by |")[2]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| ")]
    assert [(name.strip(), by.strip()) for name, by in rows] == [(skew.name, skew.by) for skew in ZOO]
    assert len({skew.name for skew in ZOO}) == len(ZOO) >= 30
