"""The language of searches: what each form means, and what is said of what cannot be read."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.ledger.facets import SEARCHED, milliseconds
from slipway.ledger.search_language import parse, parse_field, parse_order
from slipway.records.models import ModelVersion, RegisteredModel
from slipway.records.runs import Run
from slipway.records.search import And, Between, Compare, Condition, Field, In, IsNull, Not, Or, Order
from slipway.records.tables import TableVersion

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AUC = Field("metric", "auc")
DEPTH = Field("param", "depth")
USER = Field("tag", "user")
STATE = Field("attribute", "state")
STARTED = Field("attribute", "started")
HIGH = Compare(AUC, ">", 0.7)


def read(text: str, record_type: type = Run) -> Condition | None:
    return parse(text, SEARCHED[record_type], now=NOW)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", None),
        ("  \n", None),
        ("metrics.auc > 0.7", HIGH),
        ("metric.auc>0.7", HIGH),
        ("metrics.`auc` > .7", HIGH),
        ('metrics."auc" > 7e-1', HIGH),
        ("metrics . auc > +0.7", HIGH),
        ("metrics.auc[carrier=AA] = -1", Compare(Field("metric", "auc[carrier=AA]"), "=", -1.0)),
        ("metrics.`a b``c` != 1", Compare(Field("metric", "a b`c"), "!=", 1.0)),
        ("metrics.val/loss-1.x <= -inf", Compare(Field("metric", "val/loss-1.x"), "<=", float("-inf"))),
        ("params.depth = '6'", Compare(DEPTH, "=", "6")),
        ('parameter.depth = "6"', Compare(DEPTH, "=", "6")),
        ("param.depth = 'it''s'", Compare(DEPTH, "=", "it's")),
        ('params.depth = "a""b"', Compare(DEPTH, "=", 'a"b')),
        ("parameters.depth = true", Compare(DEPTH, "=", "True")),
        ("params.depth in (4, 6)", In(DEPTH, (4.0, 6.0))),
        ("params.depth IN ('a')", In(DEPTH, ("a",))),
        ("params.depth not in (4, 6)", And((Compare(DEPTH, "!=", 4.0), Compare(DEPTH, "!=", 6.0)))),
        ("params.depth between 1 and 2 and metrics.auc > 0.7", And((Between(DEPTH, 1.0, 2.0), HIGH))),
        ("params.depth NOT BETWEEN 1 AND 2", Or((Compare(DEPTH, "<", 1.0), Compare(DEPTH, ">", 2.0)))),
        ("tags.user like 'a%'", Compare(USER, "LIKE", "a%")),
        ("tag.user ILIKE 'a%'", Compare(USER, "ILIKE", "a%")),
        ("tags.user matches '^a+$'", Compare(USER, "MATCHES", "^a+$")),
        ("tags.user not like 'a%'", And((Not(IsNull(USER)), Not(Compare(USER, "LIKE", "a%"))))),
        ("tags.user is null", IsNull(USER)),
        ("tags.user IS NOT NULL", Not(IsNull(USER))),
        ("state = 'failed'", Compare(STATE, "=", "failed")),
        ("attributes.status = 'failed'", Compare(STATE, "=", "failed")),
        ("attr.state = 'failed'", Compare(STATE, "=", "failed")),
        ("run.State = 'failed'", Compare(STATE, "=", "failed")),
        ("attributes.`Run name` = 'a'", Compare(Field("attribute", "name"), "=", "a")),
        ("dataset.name = 'flights'", Compare(Field("dataset", "name"), "=", "flights")),
        ("started >= '2026-01-01'", Compare(STARTED, ">=", milliseconds(datetime(2026, 1, 1, tzinfo=UTC)))),
        (
            "start_time > '2026-01-01T12:00+02:00'",
            Compare(STARTED, ">", milliseconds(datetime(2026, 1, 1, 10, tzinfo=UTC))),
        ),
        ("attributes.start_time > 1664067852747", Compare(STARTED, ">", 1664067852747.0)),
        ("started > 7d ago", Compare(STARTED, ">", milliseconds(NOW - timedelta(days=7)))),
        ("started > 90 M AGO", Compare(STARTED, ">", milliseconds(NOW - timedelta(minutes=90)))),
        ("started < now", Compare(STARTED, "<", milliseconds(NOW))),
        ("seconds > 3600", Compare(Field("attribute", "seconds"), ">", 3600.0)),
        ("not metrics.auc > 0.7", Not(HIGH)),
        ("NOT (metrics.auc > 0.7)", Not(HIGH)),
        (
            "metrics.auc > 0.7 or state = 'failed' and not tags.user is null",
            Or((HIGH, And((Compare(STATE, "=", "failed"), Not(IsNull(USER)))))),
        ),
        (
            "(metrics.auc > 0.7 or state = 'failed') and tags.user is null",
            And((Or((HIGH, Compare(STATE, "=", "failed"))), IsNull(USER))),
        ),
    ],
)
def test_what_a_search_means(text: str, meaning: Condition | None) -> None:
    assert read(text) == meaning


def test_a_metric_may_be_asked_for_nan() -> None:
    found = read("metrics.auc = nan")
    assert isinstance(found, Compare)
    assert found.value != found.value


def test_models_and_tables_have_attributes_of_their_own() -> None:
    assert read("version_number >= 3", ModelVersion) == Compare(Field("attribute", "number"), ">=", 3.0)
    assert read("rows > 1e6 and tags.raw is not null", TableVersion) == And(
        (Compare(Field("attribute", "rows"), ">", 1e6), Not(IsNull(Field("tag", "raw"))))
    )


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("metrics.auc >", 14, "a number or a text in quotes is expected"),
        ("metrics.auc", 12, "a comparison such as"),
        ("metrics.auc > 0.7 metrics", 19, "'and', 'or' or the end"),
        ("metrics.auc > 0.7 and", 22, "a field such as"),
        ("metrics.auc > '0.7'", 15, "auc is a number"),
        ("metrics. > 1", 10, "a name is expected"),
        ("metrics.auc like 'a'", 18, "auc is no text"),
        ("metrics.auc > 0.7.1", 15, "a number or a text"),
        ("metrics.auc > 7d ago", 15, "auc is no time"),
        ("metrics.auc < nan", 14, "NaN has no order"),
        ("metrics.auc in (nan)", 17, "NaN equals nothing"),
        ("params.depth = nan", 16, "only the metrics of runs may be NaN"),
        ("params.depth in ()", 18, "a number or a text"),
        ("params.depth in (4 6)", 20, "',' or ')'"),
        ("params.depth in 4", 17, "'('"),
        ("params.depth between 1 or 2", 24, "'and' is expected"),
        ("params.depth between 1 and 'a'", 28, "two numbers or two texts"),
        ("params.depth not = 4", 18, "'in', 'between'"),
        ("params.depth = six", 16, "a number or a text in quotes"),
        ("params.depth = 'six", 16, "a number or a text in quotes"),
        ("tags.user is 4", 14, "'null' or 'not null'"),
        ("tags.user like 4", 16, "a pattern in quotes"),
        ("state = 4", 9, "state is text"),
        ("started > 'soon'", 11, "a date such as"),
        ("started > 999999w ago", 11, "after the year 1"),
        ("auc > 0.7", 1, "a run has no attribute 'auc'"),
        ("stat = 'failed'", 1, "a run has no attribute 'stat'"),
        ("(metrics.auc > 0.7", 19, "')' is expected"),
        ("metrics.auc > 0.7)", 18, "'and', 'or' or the end"),
        ("; drop table", 1, "a field such as"),
        ("tags.user = '\ud800'", 1, "Unicode"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, place: int, expected: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read(text)
    assert f"at character {place}: " in raised.value.what
    assert expected in raised.value.what
    assert raised.value.fix


def test_names_nearby_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"Did you mean 'state'\? Or is it params.stat or tags.stat or metrics.stat"):
        read("stat = 'failed'")
    with pytest.raises(InvalidInput, match="a registered model has no metrics"):
        read("metrics.auc > 0.7", RegisteredModel)
    with pytest.raises(InvalidInput, match="cannot be used: a group is not closed"):
        read("tags.user matches '(a'")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 51 + "tags.a is null" + ")" * 51,
        "not " * 51 + "tags.a is null",
        " or ".join(["tags.a is null"] * 201),
        "params.a in (" + ",".join(["1"] * 5001) + ")",
        "tags.a = '" + "x" * 100_000 + "'",
    ],
)
def test_too_much_at_once_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="are read"):
        read(text)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "metrics",
                "params",
                "tags",
                "attributes",
                "dataset",
                ".",
                "auc",
                "depth",
                "state",
                "started",
                "(",
                ")",
                ",",
                "=",
                "!=",
                "<",
                ">=",
                "'",
                '"',
                "`",
                "'a'",
                "4",
                "-1",
                "nan",
                "inf",
                "and",
                "or",
                "not",
                "in",
                "between",
                "like",
                "matches",
                "is",
                "null",
                "7d",
                "ago",
                "now",
                "true",
                "[",
                "]",
                "\\",
                "%",
            ]
        ),
        max_size=15,
    ).map(" ".join)
    | st.text(max_size=40)
)
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    for read_it in (read, lambda text: parse_order(text, SEARCHED[Run]), lambda text: parse_field(text, SEARCHED[Run])):
        with suppress(InvalidInput):  # anything else is a fault
            read_it(text)


def test_orders() -> None:
    searched = SEARCHED[Run]
    assert parse_order("", searched) == ()
    assert parse_order("metrics.auc DESC, params.depth asc,started", searched) == (
        Order(AUC, True),
        Order(DEPTH),
        Order(STARTED),
    )
    assert parse_order("tags.`desc` desc", searched) == (Order(Field("tag", "desc"), True),)
    for wrong in ("metrics.auc down", "metrics.auc,", ",", "auc", "dataset.name"):
        with pytest.raises(InvalidInput, match=r"The order .* cannot be read at character"):
            parse_order(wrong, searched)
    assert len(parse_order(", ".join(["metrics.auc"] * 20), searched)) == 20
    with pytest.raises(InvalidInput, match="The order has more than 20 fields"):
        parse_order(", ".join(["metrics.auc"] * 21), searched)


def test_a_name_that_is_not_known_is_said_once() -> None:
    with pytest.raises(InvalidInput, match=r"a run has no attribute 'auc'\."):
        read("auc > 0.7")


def test_a_field_alone() -> None:
    assert parse_field("tags.user", SEARCHED[Run]) == USER
    with pytest.raises(InvalidInput, match="the end is expected"):
        parse_field("tags.user desc", SEARCHED[Run])
