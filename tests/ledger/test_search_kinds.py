"""Models, versions, logged models and tables are found by words as by looking at each: random records and searches."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from brute_search import Known, search
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ledger import entries
from slipway.ledger import search as ledger_search
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search_language import parse, parse_order
from slipway.records.models import LoggedMetric, LoggedModel, ModelVersion, RegisteredModel
from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.schema import Field as Named
from slipway.records.search import Facet, Field, Space, number_of
from slipway.records.tables import AboutTable, TableVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = ["a", "b", "ab", "6", "-1"]
NUMBERS = [-1.0, 0.0, 0.5, 6.0]

texts = st.sampled_from(TEXTS)
numbers = st.sampled_from(NUMBERS)
instants = st.integers(0, 2).map(lambda days: NOW + timedelta(days=days))
several = st.lists(texts, max_size=2, unique=True).map(lambda found: tuple(sorted(found)))
named = st.dictionaries(st.sampled_from(["p", "q"]), texts, max_size=2)
measured = st.dictionaries(st.sampled_from(["auc", "auc[a=b]"]), numbers, max_size=2)
points = st.lists(
    st.builds(
        LoggedMetric,
        key=st.just("auc"),
        value=numbers | st.just(math.nan),
        step=st.integers(0, 1),
        at_us=st.integers(0, 1),
        dataset_name=st.sampled_from(["", "test"]),
    ),
    max_size=3,
).map(tuple)


def records(record_type: type[Record], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Record]:
    return st.builds(
        record_type,
        id=st.uuids().map(str),
        project=st.just("flights"),
        name=texts,
        created_at=instants,
        **fields,
    )


@dataclass(frozen=True)
class Kind:
    """A kind of record, and where each word of its searches looks in it: the language's word, field, values."""

    records: st.SearchStrategy[Record]
    words: dict[str, tuple[Space, str, Callable[[Any], Any]]]


def newest(model: LoggedModel, dataset: str = "") -> list[float]:
    of = [one for one in model.metrics if dataset in ("", one.dataset_name)]
    last = max(of, key=lambda one: (one.at_us, one.step), default=None)
    return [] if last is None or math.isnan(last.value) else [last.value]


def instant(at: datetime | None) -> list[float]:
    return [] if at is None else [at.timestamp() * 1000]


ACTOR = st.just(Actor("ada"))
KINDS: dict[type[Record], Kind] = {
    ModelVersion: Kind(
        records(ModelVersion, number=st.integers(0, 6), bundle=st.sampled_from(["", "a"]), source=st.just("b"),
                run_id=texts | st.just(""), actor=ACTOR, tags=named, stage=texts, aliases=several, metrics=measured,
                params=named, updated_at=instants | st.none()),
        {
            "name": ("attribute", "name", lambda one: [one.name]),
            "version": ("attribute", "number", lambda one: [float(one.number)]),
            "run_id": ("attribute", "run_id", lambda one: [one.run_id] if one.run_id else []),
            "source": ("attribute", "source", lambda one: ["slipway-bundle:a" if one.bundle else "b"]),
            "stage": ("attribute", "stage", lambda one: [one.stage]),
            "alias": ("attribute", "alias", lambda one: one.aliases),
            "updated": ("attribute", "updated", lambda one: instant(one.updated_at or one.created_at)),
            "metrics.auc": ("figure", "auc", lambda one: [one.metrics["auc"]] if "auc" in one.metrics else []),
            "metrics.auc[a=b]": (
                "figure", "auc[a=b]", lambda one: [one.metrics["auc[a=b]"]] if "auc[a=b]" in one.metrics else []
            ),
            "params.p": ("param", "p", lambda one: [one.params["p"]] if "p" in one.params else []),
            "tags.q": ("tag", "q", lambda one: [one.tags["q"]] if "q" in one.tags else []),
        },
    ),
    RegisteredModel: Kind(
        records(RegisteredModel, actor=ACTOR, description=texts | st.just(""), tags=named, updated_at=instants),
        {
            "name": ("attribute", "name", lambda one: [one.name]),
            "description": ("attribute", "description", lambda one: [one.description] if one.description else []),
            "timestamp": ("attribute", "updated", lambda one: instant(one.updated_at)),
            "tags.p": ("tag", "p", lambda one: [one.tags["p"]] if "p" in one.tags else []),
        },
    ),
    LoggedModel: Kind(
        records(LoggedModel, experiment_id=texts, state=st.sampled_from(["pending", "ready"]), actor=ACTOR, params=named,
                tags=named, metrics=points, updated_at=instants),
        {
            "experiment_id": ("attribute", "experiment_id", lambda one: [one.experiment_id]),
            "status": ("attribute", "state", lambda one: [one.state]),
            "creation_timestamp": ("attribute", "created", lambda one: instant(one.created_at)),
            "metrics.auc": ("figure", "auc", newest),
            "metrics.auc[test]": ("figure", "auc[test]", lambda one: newest(one, "test")),
            "params.p": ("param", "p", lambda one: [one.params["p"]] if "p" in one.params else []),
        },
    ),
    TableVersion: Kind(
        records(TableVersion, number=st.integers(1, 3), version=texts, change=st.just("append"),
                rows=st.integers(-1, 6), added_rows=st.just(0), fingerprint=st.just(""),
                fields=several.map(lambda names: tuple(Named(name, "string") for name in names)),
                about=st.builds(AboutTable, owner=texts | st.just(""), personal=several), data_until=instants | st.none()),
        {
            "rows": ("attribute", "rows", lambda one: [float(one.rows)]),
            "owner": ("attribute", "owner", lambda one: [one.about.owner] if one.about.owner else []),
            "personal": ("attribute", "personal", lambda one: one.about.personal),
            "column": ("attribute", "column", lambda one: [field.name for field in one.fields]),
            "data_until": ("attribute", "data_until", lambda one: instant(one.data_until)),
        },
    ),
}  # fmt: skip
UNORDERED = ("alias", "personal", "column")
TIMES = ("updated", "timestamp", "creation_timestamp", "data_until")


def known(kind: Kind, record: Record) -> Known:
    """A record as the searcher by looking sees it; its facets are made here, not by the code that is tested."""
    facets = [
        Facet(space, key, *((value, number_of(value)) if isinstance(value, str) else (None, value)))
        for space, key, values in kind.words.values()
        for value in values(record)
    ]
    return Known(record.id, entries.microseconds(record.created_at), tuple(facets), {})


@st.composite
def comparisons(draw: st.DrawFn, kind: Kind, is_number: Callable[[str], bool]) -> str:
    word = draw(st.sampled_from(sorted(kind.words)))
    field = f"metrics.`{word.partition('.')[2]}`" if word.startswith("metrics") else word
    if word in TIMES:
        value = st.integers(0, 2).map(lambda days: f"'{NOW + timedelta(days=days):%Y-%m-%d}'")
    elif is_number(word):
        value = numbers.map(str)
    else:
        value = texts.map(lambda text: f"'{text}'")
    text = draw(
        st.one_of(
            st.tuples(st.sampled_from(["=", "!=", "<", ">="]), value).map(lambda two: f"{field} {two[0]} {two[1]}"),
            st.lists(value, min_size=1, max_size=3).map(lambda found: f"{field} in ({', '.join(found)})"),
            st.sampled_from([f"{field} is null", f"{field} is not null"]),
        )
    )
    return draw(st.sampled_from([text, f"not {text}"]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[type[Record], list[Record], list[tuple[str, str, int]]]:
    record_type = draw(st.sampled_from(sorted(KINDS, key=lambda one: one.__name__)))
    kind = KINDS[record_type]

    def is_number(word: str) -> bool:
        space, key, _ = kind.words[word]
        return SEARCHED[record_type].sort(Field(space, key)) == "number"

    one = comparisons(kind, is_number)
    joined = st.tuples(one, st.sampled_from(["and", "or"]), one).map(" ".join)
    ways = st.sampled_from(sorted(word for word in kind.words if word not in UNORDERED))
    order = st.tuples(ways, st.sampled_from(["", " desc"])).map(
        lambda two: (f"metrics.`{two[0].partition('.')[2]}`" if two[0].startswith("metrics") else two[0]) + two[1]
    )
    searches = st.lists(st.tuples(one | joined, order | st.just(""), st.integers(1, 4)), min_size=3, max_size=8)
    stored = draw(st.lists(kind.records, max_size=8, unique_by=lambda record: record.id))
    return record_type, stored, draw(searches)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_each_kind_is_found_as_by_looking_at_every_record(
    case: tuple[type[Record], list[Record], list[tuple[str, str, int]]],
) -> None:
    record_type, stored, searches = case
    seen = [known(KINDS[record_type], record) for record in stored]
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteLedger(Path(folder) / "ledger.db")
        with store.write() as tx:
            for record in stored:
                entries.put(tx, record)
        for where, order, limit in searches:
            condition = parse(where, SEARCHED[record_type], now=NOW)
            expected = search(seen, condition, parse_order(order, SEARCHED[record_type]))
            found: list[str] = []
            token = ""
            while True:
                with store.read() as tx:
                    page = ledger_search.search(
                        tx, record_type, project="flights", where=where, order=order, token=token, limit=limit
                    )
                found += [record.id for record in page.records]
                token = page.next_token
                if not token:
                    break
            assert found == expected, (where, order)
        store.close()
