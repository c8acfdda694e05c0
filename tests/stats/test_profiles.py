"""Profiles: exact in any split and order, small whatever the data is, the same from every kind of column, old ones readable."""

from functools import reduce
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.stats.profile_counting import MAX_CATEGORIES, MAX_RARE
from slipway.stats.profiles import (
    MAX_PAIRS,
    POOL,
    Profile,
    deviation,
    from_bytes,
    has_category,
    mean,
    merge,
    profile,
    to_bytes,
    weighed,
    without,
)  # fmt: skip

SIXTEEN_UNITS = 16


def frame(rows: int, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(10.0, 2.0, rows)
    return pl.DataFrame(
        {
            "x": x,
            "y": x + random.normal(size=rows),
            "holes": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
            "whole": random.integers(0, 5, rows),
            "kind": random.choice(np.array(["a", "b", "c"]), rows),
            "city": [f"city {n}" for n in random.integers(0, 40, rows)],
        }
    ).with_columns(pl.col("holes").fill_nan(None))


hostile = st.one_of(
    st.just(float("nan")), st.floats(allow_infinity=True), st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324])
)
ROWS = st.lists(st.tuples(hostile, st.floats(-3, 3), st.sampled_from(["a", "b", "new", "é" * 50, None])), max_size=60)


def of(rows: list[tuple[float, float, str | None]], reference: Profile | None = None) -> Profile:
    numbers = np.array([row[:2] for row in rows], dtype=float).reshape(-1, 2)
    texts = pl.Series([row[2] for row in rows], dtype=pl.String)
    at = pl.Series([3600 * 10**6 * place for place in range(len(rows))], dtype=pl.Datetime("us", "UTC"))
    return profile({"x": numbers[:, 0], "y": numbers[:, 1], "t": texts}, reference, at=at)


@settings(deadline=None, max_examples=25)
@given(base=ROWS, rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=4), order=st.randoms(use_true_random=False))
def test_any_split_in_any_order_gives_the_same_bytes(base: Any, rows: Any, cuts: list[int], order: Any) -> None:
    reference = of(base)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    found = []
    for a, b in pairwise(bounds):
        part = of(rows[a:b], reference)
        hours = tuple(part.hours[-a % 168 :] + part.hours[: -a % 168])  # the part's first row is not the window's
        found.append(msgspec.structs.replace(part, hours=hours))
    order.shuffle(found)
    merged = reduce(merge, found)
    whole = of(rows, reference)
    assert to_bytes(merged) == to_bytes(whole)
    assert {column.rows for column in whole.columns} == {len(rows)}
    assert sum(whole.hours) == len(rows)


def test_a_frame_and_columns_of_every_kind_are_the_same() -> None:
    rows = frame(3000)
    by_name = {
        "x": rows["x"].to_numpy(),
        "y": rows["y"],
        "holes": rows["holes"].to_numpy(),
        "whole": rows["whole"].to_numpy(),
        "kind": rows["kind"].to_list(),
        "city": rows["city"].cast(pl.Categorical),
    }
    known = to_bytes(profile(rows))
    assert to_bytes(profile(by_name)) == known
    assert to_bytes(profile(rows.to_arrow())) == known
    assert to_bytes(profile(by_name, profile(rows))) == known


def test_moments_tails_and_range_are_those_of_the_rows() -> None:
    rows = frame(50_000)
    found = {column.name: column for column in profile(rows).columns}
    x = rows["x"].to_numpy()
    assert mean(found["x"]) == pytest.approx(x.mean(), abs=1e-3 * x.std())
    assert deviation(found["x"]) == pytest.approx(x.std(), rel=1e-3)
    assert (found["x"].under, found["x"].over) == ((x < found["x"].tail_low).sum(), (x > found["x"].tail_high).sum())
    assert found["x"].under == found["x"].over == 25
    far = profile({"x": np.array([1e300])}, profile({"x": x}))
    assert mean(far.columns[0]) == pytest.approx(found["x"].centre + SIXTEEN_UNITS * found["x"].unit)
    assert np.isnan(mean(found["kind"]))
    assert np.isnan(deviation(profile({"x": np.array([np.nan])}).columns[0]))


def test_a_pair_is_counted_by_groups_of_rows_with_both_values() -> None:
    rows = frame(2001)
    found = profile(rows)
    names = [column.name for column in found.columns]
    assert len(found.pairs) == 15
    assert all(names.index(pair.first) < names.index(pair.second) for pair in found.pairs)
    pair = next(pair for pair in found.pairs if (pair.first, pair.second) == ("holes", "kind"))
    groups = rows.drop_nulls("holes").with_columns(low=pl.col("holes") <= found.columns[2].edges[1])
    first = found.columns[4].categories[0]
    assert sum(pair.cells) == groups.height
    assert pair.cells[0] == groups.filter(pl.col("low") & (pl.col("kind") == first)).height


def test_the_most_important_pairs_are_kept() -> None:
    random = np.random.default_rng(3)
    columns: dict[str, Any] = {f"n{place}": random.normal(size=2000) for place in range(12)}
    columns["n1"] = columns["n0"] + 0.1 * columns["n1"]
    strong = profile(columns, pairs=POOL)
    assert len(strong.pairs) == POOL
    few = weighed(strong, None)
    assert len(few.pairs) == MAX_PAIRS
    assert ("n0", "n1") in {(pair.first, pair.second) for pair in few.pairs}
    used = {f"n{place}": 0.4 if place > 9 else 0.001 for place in range(12)}
    by_use = profile(columns, importance=used, pairs=1)
    assert [(pair.first, pair.second) for pair in by_use.pairs] == [("n10", "n11")]
    assert weighed(strong, used).columns[11].importance == 0.4
    hidden = without(few, ["n0"])
    assert "n0" not in {name for pair in hidden.pairs for name in (pair.first, pair.second)}
    assert [column.name for column in hidden.columns] == [f"n{place}" for place in range(1, 12)]
    assert profile({name: columns[name] for name in columns if name != "n0"}, hidden).pairs == hidden.pairs


def test_thirty_columns_stay_within_64_kib_whatever_the_data() -> None:
    names = [f"{'wörter ' * 9}{n}" for n in range(MAX_CATEGORIES + MAX_RARE)]
    texts = {f"a column of text, {c}": pl.Series(names[c:] + names[:c]) for c in range(30)}
    wide = {f"a column of numbers, {c}": 10.0 ** np.arange(-308, 308) * (-1) ** c for c in range(30)}
    for columns in (texts, wide, {**dict(list(texts.items())[:15]), **dict(list(wide.items())[:0])}):
        found = profile(columns, predictions=tuple(columns)[:1])
        rows = len(next(iter(columns.values())))
        found = msgspec.structs.replace(found, hours=(rows,) * 168)
        assert not any(column.is_open for column in found.columns)
        for _ in range(22):  # four million times as many rows
            found = merge(found, found)
        data = to_bytes(found)
        assert len(data) <= 64 * 1024
        assert to_bytes(from_bytes(data)) == data


def test_a_million_new_texts_and_long_ones_are_counted_by_what_they_are() -> None:
    long = "w" * 60
    reference = profile({"t": ["a", long, long, None]})
    (column,) = profile({"t": pl.Series(["a", long, "w" * 61, "b", None, long])}, reference).columns
    assert (column.counts, column.unseen, column.missing) == ((2, 1), 2, 1)
    assert has_category(column, long)
    assert not has_category(column, "b")


def test_a_profile_of_an_earlier_release_is_read_and_counted_over() -> None:
    rows = frame(500)
    old = {
        "rows": 500,
        "columns": [
            {"name": "x", "edges": (9.0, 11.0), "low": 4.0, "high": 16.0, "categories": (), "counts": (150, 200, 150),
             "below": 0, "above": 0, "other": 0, "unseen": 0, "missing": 0, "rare": b"", "is_open": False,
             "singles": 0, "kind": "number"},
            {"name": "kind", "edges": (), "low": float("nan"), "high": float("nan"), "categories": ("a", "b"),
             "counts": (300, 150), "below": 0, "above": 0, "other": 50, "unseen": 0, "missing": 0,
             "rare": b"\x00\x01\x02\x03", "is_open": False, "singles": 0, "kind": "text"},
        ],
    }  # fmt: skip
    known = from_bytes(msgspec.msgpack.encode(old))
    window = profile(rows, known)
    assert sum(window.columns[0].counts) == 500
    assert window.columns[1].unseen == (rows["kind"] == "c").sum()
    assert to_bytes(merge(window, window)) == to_bytes(profile(pl.concat([rows, rows]), known))
    assert (window.pairs, window.hours, window.predictions) == ((), (), ())


def test_hours_are_weekdays_and_hours_of_utc() -> None:
    at = pl.Series(["2024-01-01T00:30", "2024-01-07T23:59", None]).str.to_datetime(time_zone="UTC")
    hours = profile({"x": np.zeros(3)}, at=at).hours
    assert (hours[0], hours[167], sum(hours)) == (1, 1, 2)
    known = profile({"x": np.zeros(3)})
    assert merge(profile({"x": np.zeros(3)}, known, at=at), profile({"x": np.zeros(3)}, known)).hours == hours


def test_empty_and_valueless_windows_are_profiles_too() -> None:
    known = profile(frame(300))
    empty = profile(frame(300).head(0), known)
    assert (empty.rows, {column.rows for column in empty.columns}) == (0, {0})
    gone = profile({name: pl.Series([None] * 5) for name in frame(1).columns}, known)
    assert {column.missing for column in gone.columns} == {5}
    assert to_bytes(merge(empty, gone)) == to_bytes(gone)
    assert profile({}).columns == ()
