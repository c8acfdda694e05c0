"""A scope as people write it: a TOML file, or the fields of a form; refused where it contradicts itself."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from slipway.errors import InvalidInput, SlipwayError, near
from slipway.ids import check_name
from slipway.records.scopes import ScopeTerms
from slipway.schema.directions import HIGHER, LOWER
from slipway.schema.durations import microseconds

__all__ = ["TEMPLATE", "checked", "of_toml", "to_toml"]

TEMPLATE = """\
# What a model is wanted for, and what it must take at full scale. Leave out what nobody asks.
name = "{name}"
decision = ""                # which decision is taken with an answer, and by whom
owner = "business owner"     # a person or a role: who wants it, and answers for it
kpi = ""                     # the business figure by which it is judged: "cost of errors"
# better = "higher"          # or "lower"
# value = 100000             # what it is expected to be worth in a year
# currency = "USD"

mode = "live"                # an endpoint answers requests; "batch": a table is scored
# endpoint = "{name}"
sources = []                 # the tables that it needs
consumers = []               # who asks it

# requests_per_second = 50
# latency_ms = 100           # for 99 of 100 requests, at that rate
# rows_per_hour = 1000000    # of a batch
# freshness = "10m"          # how old the newest row of each source may be
# training_rows = 1000000    # of the data at full scale
# availability = 0.999       # the share of requests that gets a result

# [metrics]                  # on rows that it was not trained on
# auc = 0.7
"""

_FIELDS = {field.name: field for field in msgspec.structs.fields(ScopeTerms)}
_LONGEST = 10_000


def of_toml(text: str) -> ScopeTerms:
    """A scope out of a TOML file.

    Raises:
        InvalidInput: It cannot be read, has a field that no scope has, or contradicts itself.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidInput(f"The scope is no TOML: {problem}.", fix="Begin from: slipway scope new NAME") from problem
    for name in given:
        if name not in _FIELDS:
            raise InvalidInput(
                f"A scope has no field {name!r}.", fix=near(name, list(_FIELDS), what="fields"), field=name
            )
    try:
        terms = msgspec.convert(given, ScopeTerms)
    except msgspec.ValidationError as problem:
        raise InvalidInput(f"The scope cannot be read: {problem}.", fix="See: slipway scope new --help") from problem
    return checked(terms)


def to_toml(terms: ScopeTerms) -> str:
    """A scope as the file that says it: what `of_toml` reads."""
    lines, tables = [], []
    for name, value in msgspec.to_builtins(terms).items():
        if isinstance(value, Mapping):
            tables += [f"\n[{name}]", *(f"{_text(key)} = {_text(one)}" for key, one in value.items())]
        else:
            lines.append(f"{name} = {_text(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def checked(terms: ScopeTerms) -> ScopeTerms:
    """A scope that can be.

    Raises:
        InvalidInput: A decision or an owner is missing, a number is none, or two needs contradict each other; `field` says
            which.
    """
    check_name(terms.name, "scope")
    if terms.endpoint:
        check_name(terms.endpoint, "endpoint")
    for name, why, example in (
        (
            "decision",
            "A model that nobody decides anything by is worth nothing.",
            "Whether a passenger is told of a delay",
        ),
        ("owner", "Somebody wants it, pays for it, and says whether it is good enough.", "business owner"),
    ):
        if not getattr(terms, name).strip():
            raise InvalidInput(
                f"The scope {terms.name!r} has no {name}.", why=why, fix=f'Say it: {name} = "{example}"', field=name
            )
    for name in _FIELDS:
        value = getattr(terms, name)
        if isinstance(value, str) and len(value) > _LONGEST:
            raise _unfit(terms, f"a {name} of {len(value):,} characters", f"At most {_LONGEST:,}.", name)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
            raise _unfit(terms, f"{name} = {value:g}", "Give a number above 0, or leave it out.", name)
    _check_needs(terms)
    return terms


def _check_needs(terms: ScopeTerms) -> None:
    if terms.value and not terms.currency:
        raise _unfit(terms, f"a value of {terms.value:g} of nothing", 'Say of what: currency = "USD"', "currency")
    if terms.availability and not 0.5 <= terms.availability < 1:
        raise _unfit(
            terms, f"availability = {terms.availability:g}", "It is a share from 0.5 to below 1.", "availability"
        )
    if terms.freshness:
        try:
            microseconds(terms.freshness, "freshness")
        except SlipwayError as problem:
            raise _unfit(
                terms, f"freshness = {terms.freshness!r}", "Write it as '30m', '6h' or '1d'.", "freshness"
            ) from problem
    for metric, limit in terms.metrics.items():
        if metric not in (*HIGHER, *LOWER):
            raise _unfit(terms, f"the metric {metric!r}", near(metric, [*HIGHER, *LOWER], what="metrics"), "metrics")
        if not math.isfinite(limit):
            raise _unfit(terms, f"{metric} = {limit:g}", "Give a number.", "metrics")
    if terms.mode == "batch":
        for name in ("requests_per_second", "latency_ms", "availability"):
            if getattr(terms, name):
                fix = 'Say mode = "live", or ask for rows_per_hour.'
                raise _unfit(terms, f"{name} beside mode = 'batch', which answers no requests", fix, name)
    if terms.latency_ms and not terms.requests_per_second:
        fix = "Say at which rate: requests_per_second = 50"
        raise _unfit(terms, "a latency at no rate", fix, "requests_per_second")
    if terms.rows_per_hour and terms.requests_per_second * 3600 > terms.rows_per_hour:
        told = f"{terms.requests_per_second:g} requests a second beside {terms.rows_per_hour:,.0f} rows an hour"
        raise _unfit(
            terms, f"{told}, which are fewer", "A request has a row at least: ask for as many rows, or leave them out.",
            "rows_per_hour",
        )  # fmt: skip


def _unfit(terms: ScopeTerms, what: str, fix: str, field: str) -> InvalidInput:
    return InvalidInput(f"The scope {terms.name!r} has {what}.", fix=fix, field=field)


def _text(value: Any) -> str:
    """A value as TOML: JSON writes texts, numbers, truths and lists of them the same."""
    return msgspec.json.encode(value).decode()
