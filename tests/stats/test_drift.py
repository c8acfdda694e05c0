"""Profiles add exactly; drift verdicts keep their false-alarm rate and find real changes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import Corrupt, InvalidInput
from slipway.stats.drift import compare
from slipway.stats.profiles import MAX_CATEGORIES, MAX_RARE, from_bytes, merge, profile, to_bytes

COLUMNS = 10


def _table(random: np.random.Generator, rows: int) -> dict[str, Any]:
    table: dict[str, Any] = {f"n{i}": random.normal(size=rows) for i in range(COLUMNS - 3)}
    table["holes"] = np.where(random.random(rows) < 0.1, np.nan, random.exponential(size=rows))
    table["grid"] = random.integers(0, 4, rows).astype(float)
    table["kind"] = random.choice(["a", "b", "c", "d"], rows, p=[0.6, 0.25, 0.1, 0.05]).tolist()
    return table


@pytest.mark.full
@pytest.mark.parametrize("rows", [500, *(pytest.param(rows, marks=pytest.mark.long) for rows in (2_000, 10_000))])
def test_unchanged_windows_raise_at_most_one_false_alarm_in_a_hundred(rows: int) -> None:
    random = np.random.default_rng(11)
    reference = profile(_table(random, 50_000))
    windows = 300 if rows < 10_000 else 100
    alarms = 0
    for _ in range(windows):
        answers = compare(profile(_table(random, rows), reference), reference)
        alarms += any(answer.verdict == "moved" for answer in answers)
    assert alarms <= windows * 0.01


def _shifted(table: dict[str, Any], random: np.random.Generator, change: str) -> tuple[str, str]:
    rows = len(table["n0"])
    if change == "shape":
        table["n0"] = table["n0"] + 0.8
        return "n0", "shape"
    if change == "missing":
        table["n1"] = np.where(random.random(rows) < 0.15, np.nan, table["n1"])
        return "n1", "missing"
    if change == "unseen":
        table["kind"] = ["new" if random.random() < 0.1 else kind for kind in table["kind"]]
        return "kind", "unseen"
    table["n2"] = np.where(random.random(rows) < 0.12, table["n2"] + 50, table["n2"])
    return "n2", "tails"


@pytest.mark.parametrize("change", ["shape", "missing", "unseen", "tails"])
def test_moderate_changes_are_found(change: str) -> None:
    random = np.random.default_rng(12)
    reference = profile(_table(random, 20_000))
    found = 0
    for _ in range(40):
        table = _table(random, 1_000)
        place = _shifted(table, random, change)
        moved = {(a.column, a.question) for a in compare(profile(table, reference), reference) if a.verdict == "moved"}
        found += place in moved
    assert found >= 38


def test_a_small_window_cannot_tell() -> None:
    random = np.random.default_rng(1)
    reference = profile(_table(random, 5_000))
    answers = compare(profile(_table(random, 50), reference), reference)
    assert {answer.verdict for answer in answers} == {"cannot tell"}


values = st.lists(st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6)), max_size=40)
texts = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "zz"])), max_size=40)


@given(values, values, values)
@settings(deadline=None)
def test_numbers_merge_as_their_rows_together(base: list[float], one: list[float], two: list[float]) -> None:
    reference = profile({"x": np.array(base, dtype=float)})
    a = profile({"x": np.array(one, dtype=float)}, reference)
    b = profile({"x": np.array(two, dtype=float)}, reference)
    whole = profile({"x": np.array(one + two, dtype=float)}, reference)
    assert to_bytes(merge(a, b)) == to_bytes(merge(b, a)) == to_bytes(whole)


@given(texts, texts, texts)
@settings(deadline=None)
def test_texts_merge_as_their_rows_together(base: list[Any], one: list[Any], two: list[Any]) -> None:
    reference = profile({"x": [*base, "a"]})
    a, b = profile({"x": one}, reference), profile({"x": two}, reference)
    assert to_bytes(merge(a, b)) == to_bytes(merge(b, a)) == to_bytes(profile({"x": one + two}, reference))


def test_every_row_is_counted_once() -> None:
    random = np.random.default_rng(5)
    found = profile(_table(random, 777))
    assert {column.rows for column in found.columns} == {777}


def test_a_profile_of_thirty_columns_is_small_and_survives_its_bytes() -> None:
    random = np.random.default_rng(6)
    table = {f"c{i}": random.normal(size=10_000) for i in range(20)}
    many = {f"t{i}": [f"value-{n}" for n in random.integers(0, 60, 10_000)] for i in range(10)}
    found = profile({**table, **many})
    data = to_bytes(found)
    assert len(data) <= 64 * 1024
    assert to_bytes(from_bytes(data)) == data


def test_what_does_not_fit_is_said() -> None:
    reference = profile({"x": np.array([1.0, 2.0])})
    with pytest.raises(InvalidInput, match="missing"):
        profile({"y": np.array([1.0])}, reference)
    with pytest.raises(InvalidInput, match="numbers"):
        profile({"x": ["a"]}, reference)
    with pytest.raises(InvalidInput, match="merged"):
        merge(reference, profile({"x": np.array([5.0])}))
    with pytest.raises(Corrupt):
        from_bytes(b"nothing")


def test_a_column_of_many_rare_values_brings_new_ones_without_a_change() -> None:
    random = np.random.default_rng(8)
    names = np.array([f"N{i}" for i in range(200)])
    share = 1 / np.arange(1, 201) ** 2
    share /= share.sum()

    def rows(count: int) -> dict[str, Any]:
        return {"tail": random.choice(names, count, p=share).tolist()}

    reference = profile(rows(600))
    assert reference.columns[0].singles > 10
    windows = [compare(profile(rows(5_000), reference), reference) for _ in range(100)]
    assert sum(any(answer.verdict == "moved" for answer in answers) for answers in windows) <= 1
    feed = {"tail": [name if random.random() < 0.85 else "garbage" for name in rows(5_000)["tail"]]}
    told = {a.question: a.verdict for a in compare(profile(feed, reference), reference)}
    assert told["unseen"] == "moved"


def test_a_column_of_too_many_values_cannot_tell_which_are_new_and_stays_small() -> None:
    reference = profile({f"id{c}": [f"{'long ' * 20}{c}-{i}" for i in range(3_000)] for c in range(30)})
    assert len(to_bytes(reference)) <= 64 * 1024
    answers = compare(profile({column.name: ["x"] * 500 for column in reference.columns}, reference), reference)
    assert {a.verdict for a in answers if a.question == "unseen"} == {"cannot tell"}
    assert all("too many different values" in a.sentence for a in answers if a.question == "unseen")


def test_the_largest_text_columns_still_fit() -> None:
    many = {f"t{c}": [f"{'w' * 60}{i}" for i in range(MAX_CATEGORIES + MAX_RARE)] for c in range(30)}
    found = profile(many)
    assert not found.columns[0].is_open
    assert len(to_bytes(found)) <= 64 * 1024
    assert profile(many, found).columns[0].unseen == 0


def test_a_column_without_any_value_in_training_tells_only_that_it_is_no_longer_missing() -> None:
    reference = profile({"number": np.full(500, np.nan), "text": [None] * 500})
    window = profile({"number": np.arange(500.0), "text": ["a"] * 500}, reference)
    verdicts = {(a.column, a.question): a.verdict for a in compare(window, reference)}
    assert verdicts.pop(("number", "missing")) == verdicts.pop(("text", "missing")) == "moved"
    assert set(verdicts.values()) == {"cannot tell"}


def test_what_a_window_can_detect_shrinks_with_its_rows_and_is_found() -> None:
    random = np.random.default_rng(9)
    reference = profile({f"n{i}": random.normal(size=50_000) for i in range(COLUMNS)})
    least = []
    for rows in (500, 2_000, 10_000):
        window = profile({f"n{i}": random.normal(size=rows) for i in range(COLUMNS)}, reference)
        least.append(next(a.detectable for a in compare(window, reference) if a.question == "shape"))
    assert least == sorted(least, reverse=True)
    found = 0
    for _ in range(40):
        # Rows that gather at the median lie in two of ten bins: a total variation of 0.8 of their share.
        moved = random.random(2_000) < least[1] / 0.8
        table = {f"n{i}": random.normal(size=2_000) for i in range(COLUMNS)}
        table["n0"] = np.where(moved, random.normal(scale=0.01, size=2_000), table["n0"])
        answers = compare(profile(table, reference), reference)
        found += any(a.column == "n0" and a.question == "shape" and a.verdict == "moved" for a in answers)
    assert found >= 34


def test_many_moved_columns_make_the_last_ones_easier_and_never_harder() -> None:
    random = np.random.default_rng(10)
    reference = profile({f"n{i}": random.normal(size=50_000) for i in range(COLUMNS)})
    table = {f"n{i}": random.normal(size=3_000) + 1.0 for i in range(COLUMNS)}
    answers = compare(profile(table, reference), reference)
    asked = len(answers)
    for answer in answers:
        assert (answer.verdict == "moved") == (answer.low > answer.floor)
        if answer.verdict == "moved":
            assert answer.p_value < 0.01
        if answer.p_value < 0.01 / asked:
            assert answer.verdict == "moved"
