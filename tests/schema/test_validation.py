import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.records.schema import Field
from slipway.schema.validation import decoder

FIELDS = (
    Field("carrier", "category", False, ("AA", "UA")),
    Field("distance", "float", False),
    Field("seats", "int"),
    Field("sched-dep", "datetime", False),
    Field("day", "date"),
    Field("wait", "duration"),
    Field("late", "bool"),
    Field("extra", "object"),
)
UNKNOWN = dict.fromkeys(["seats", "day", "wait", "late", "extra"])
GOOD = {"carrier": "AA", "distance": 733, "sched-dep": "2013-04-01T14:00:00+02:00", **UNKNOWN}


def body(*rows: object, **more: object) -> bytes:
    return json.dumps({"rows": list(rows), **more}).encode()


def refusal(data: bytes, *, strict: bool = False) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        decoder(FIELDS, strict).decode(data)
    return caught.value


def test_rows_come_in_the_contracts_order_as_python_scalars() -> None:
    row = {**GOOD, "extra": [1], "late": True, "wait": "PT90M", "day": "2013-04-01", "seats": 5}
    request = decoder(FIELDS).decode(body(row, GOOD, at="2013-04-01T11:00:00Z"))
    noon = datetime(2013, 4, 1, 12, tzinfo=UTC)
    assert request.rows == [
        ["AA", 733.0, 5, noon, date(2013, 4, 1), timedelta(minutes=90), True, [1]],
        ["AA", 733.0, None, noon, None, None, None, None],
    ]
    assert isinstance(request.rows[0][1], float)
    assert request.rows[0][3].tzinfo is UTC
    assert request.at == datetime(2013, 4, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"distance": "far"}, "rows[1].distance", 'rows[1].distance is the string "far". Expected a number.'),
        ({"distance": None}, "rows[1].distance", "rows[1].distance is null. Expected a number."),
        ({"distance": True}, "rows[1].distance", "rows[1].distance is true. Expected a number."),
        ({"distance": [1]}, "rows[1].distance", "rows[1].distance is an array."),
        ({"seats": 2.5}, "rows[1].seats", "rows[1].seats is 2.5. Expected a whole number"),
        ({"seats": 10**30}, "rows[1].seats", f"rows[1].seats is {10**30}. Expected a whole number"),
        ({"sched-dep": "2013-04-01T14:00:00"}, "rows[1].sched-dep", "an instant without a time zone"),
        ({"sched-dep": "soon"}, "rows[1].sched-dep", 'rows[1].sched-dep is the string "soon".'),
        ({"sched-dep": "0001-01-01T00:00:00+05:00"}, "rows[1].sched-dep", "outside the years 1 to 9999"),
        ({"day": "1 April"}, "rows[1].day", 'Expected a date, such as "2013-04-01" or null.'),
    ],
)
def test_a_wrong_value_is_named_with_its_place(change: dict[str, object], field: str, sentence: str) -> None:
    found = refusal(body(GOOD, GOOD | change))
    assert found.field == field
    assert sentence in str(found)


def test_a_missing_field_is_named_and_a_misspelled_one_recognised() -> None:
    found = refusal(body(GOOD, {"carrier": "AA", "distence": 3, "sched-dep": GOOD["sched-dep"]}))
    assert found.field == "rows[1].distance"
    assert "rows[1] has no field 'distance'." in str(found)
    assert "The row has 'distence': did you mean 'distance'?" in str(found)


def test_a_field_that_may_be_null_may_not_be_left_out() -> None:
    found = refusal(body(GOOD, {name: value for name, value in GOOD.items() if name != "seats"}))
    assert found.field == "rows[1].seats"
    assert "Add 'seats' to the row, null when it is unknown." in str(found)


@pytest.mark.parametrize(
    ("data", "field", "sentence"),
    [
        (b"", "", "The body is empty."),
        (b" \n", "", "The body is empty."),
        (b"carrier=AA", "", "The body is not JSON in UTF-8"),
        (b'{"rows": [{"carrier": "\xff"}]}', "", "The body is not JSON in UTF-8"),
        (b'{"rows": [{"carrier": NaN}]}', "", "The body is not JSON in UTF-8"),
        (b"[]", "rows", "The body is an array."),
        (b"{}", "rows", 'The body has no "rows".'),
        (b'{"rows": {}}', "rows", "rows is an object."),
        (b'{"rows": [4]}', "rows[0]", "rows[0] is 4. A row is an object."),
        (b'{"rows": [], "ad": 1}', "ad", "The body has a field 'ad'."),
        (b'{"rows": [], "at": "2013-04-01"}', "at", 'at is the string "2013-04-01".'),
        (b'{"rows": [{"distance": 1e999}]}', "rows[0].distance", "rows[0].distance is 1e999."),
        (b'{"rows": [{"z": ' + b"[" * 200_000, "", "The body is nested too deeply."),
        (b'{"rows": [{"seats": ' + b"9" * 6000 + b"}]}", "rows[0].seats", "rows[0].seats is 99999"),
    ],
)
def test_what_is_no_request_is_refused_in_words(data: bytes, field: str, sentence: str) -> None:
    found = refusal(data)
    assert found.field == field
    assert sentence in str(found)


def test_unknown_fields_are_counted_by_row_and_refused_only_when_strict() -> None:
    data = body(GOOD | {"colour": 1}, GOOD | {"colour": 2, "Distance": 3}, GOOD)
    found = decoder(FIELDS)
    assert len(found.decode(data).rows) == 3
    assert found.unknown_fields(data) == {"colour": 2, "Distance": 1}
    assert found.decode(data).has_unknown
    assert not found.decode(body(GOOD, GOOD)).has_unknown
    refused = refusal(body(GOOD, GOOD | {"distence": 2}), strict=True)
    assert refused.field == "rows[1].distence"
    assert "Did you mean 'distance'?" in str(refused)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\x00", "\ud800"])
def test_a_name_that_json_escapes_is_refused_in_words(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name of a request's field"):
        decoder((Field("fine", "float"), Field(name, "float")))


@pytest.mark.parametrize(
    "name", ["", "a b", "ä", "a.b", "a]", "`a`", "'", "$", "rows", "f0", "rows[0].a", "\x7f", "a/b"]
)
def test_odd_names_that_json_does_not_escape_work(name: str) -> None:
    made = decoder((Field(name, "float"), Field("other", "int")))
    assert made.decode(body({name: 1, "other": 2})).rows == [[1.0, 2]]
    for row, field in [({name: "x", "other": 2}, name), ({name: 1}, "other"), ({"other": 2}, name)]:
        with pytest.raises(InvalidInput) as caught:
            made.decode(body(row))
        assert caught.value.field == f"rows[0].{field}"


def test_no_rows_are_a_request() -> None:
    assert decoder(FIELDS).decode(b'{"rows": []}').rows == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2013-04-01T00:00:00Z"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*GOOD, "rows", "seats", "at"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.binary(max_size=40) | JSON.map(lambda v: json.dumps(v).encode()) | JSON.map(lambda v: body(v)))
def test_any_bytes_are_a_request_or_a_sentence(data: bytes) -> None:
    for strict in (False, True):
        found = decoder(FIELDS, strict)
        try:
            request = found.decode(data)
        except InvalidInput as refused:
            assert refused.what  # noqa: PT017 - either outcome is right
        else:
            assert all(len(row) == len(FIELDS) for row in request.rows)
            assert bool(found.unknown_fields(data)) == request.has_unknown


ROW = st.fixed_dictionaries(
    {
        "carrier": st.text(max_size=5),
        "distance": st.floats(allow_nan=False, allow_infinity=False),
        "sched-dep": st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),
    },
    optional={"seats": st.none() | st.integers(-(2**63), 2**63 - 1), "late": st.none() | st.booleans()},
)


@settings(deadline=None)
@given(st.lists(ROW, max_size=4))
def test_a_valid_row_comes_back_as_it_went(rows: list[dict[str, object]]) -> None:
    data = json.dumps({"rows": [UNKNOWN | row for row in rows]}, default=lambda value: value.isoformat()).encode()
    names = [field.name for field in FIELDS]
    assert decoder(FIELDS).decode(data).rows == [[row.get(name) for name in names] for row in rows]
