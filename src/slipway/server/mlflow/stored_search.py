"""MLflow's filters and orders over what the ledger indexes: read by the ledger's own language, which knows more.

Some things are said otherwise there: a status is a state, the default experiment has another id in each project, times
are whole milliseconds, and prompts are models that no search finds which does not ask for them.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from slipway.errors import InvalidInput
from slipway.ledger.experiments import DEFAULT
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search_language import parse, parse_order
from slipway.records.models import LoggedModel, ModelVersion, RegisteredModel
from slipway.records.record import Record
from slipway.records.runs import Experiment, Run
from slipway.records.search import And, Between, Compare, Condition, Field, In, IsNull, Not, Or, Order, Value
from slipway.runs.outside import PARENT, RUN_NAME
from slipway.server.mlflow.words import MODEL_STATUS, STATUS

__all__ = [
    "experiment_order",
    "experiments_where",
    "logged_order",
    "logged_where",
    "models_order",
    "models_where",
    "runs_order",
    "runs_where",
    "versions_order",
    "versions_where",
]

Leaf = Compare | In | Between | IsNull

_NAME = Field("attribute", "name")
_NUMBER = Field("attribute", "number")
_DELETED = Field("attribute", "deleted")
_STATE = Field("attribute", "state")
_EXPERIMENT = Field("attribute", "experiment_id")
_CREATED = Order(Field("attribute", "created"), descending=True)
_STARTED = Order(Field("attribute", "started"), descending=True)
_UPDATED = Order(Field("attribute", "updated"), descending=True)
_PROMPT = Field("tag", "mlflow.prompt.is_prompt")
_MOST_ORDERS = 20
_RENAMED: dict[type[Record], dict[Field, Field]] = {
    # Clients call the user what they claim; what begins natively has neither its name nor its parent as a tag.
    Run: {
        Field("attribute", "actor"): Field("tag", "mlflow.user"),
        Field("tag", RUN_NAME): _NAME,
        Field("tag", PARENT): Field("attribute", "parent"),
    },
}
_STATES: dict[type[Record], dict[str, str]] = {
    Run: {word: state for state, word in STATUS.items()},
    LoggedModel: {
        **{word: state for state, word in MODEL_STATUS.items()},
        **{word.removeprefix("LOGGED_MODEL_"): state for state, word in MODEL_STATUS.items()},
    },
}


def runs_where(filter: str, experiments: Sequence[str], view: str) -> Condition:
    """What a search for runs means.

    Args:
        filter: MLflow's, or more.
        experiments: The experiments' ids, as clients name them.
        view: "active", "deleted" or "all".

    Raises:
        InvalidInput: The filter cannot be read.
    """
    parts: list[Condition] = [In(_EXPERIMENT, tuple(experiments))]
    if view != "all":
        parts.append(IsNull(_DELETED) if view == "active" else Not(IsNull(_DELETED)))
    return And((*parts, *_read(filter, Run)))


def runs_order(clauses: Sequence[str]) -> list[Order]:
    """What runs are ordered by; ties go to what began last.

    Raises:
        InvalidInput: It cannot be read.
    """
    return [*_orders(clauses, Run), _STARTED]


def experiments_where(filter: str, project: str, view: str) -> Condition:
    """What a search for experiments means: see `runs_where`.

    Raises:
        InvalidInput: The filter cannot be read.
    """
    parts: list[Condition] = [] if view == "all" else [Compare(_STATE, "=", view)]
    return And((*parts, *_read(filter, Experiment, project)))


def experiment_order(clauses: Sequence[str]) -> list[Order]:
    """What experiments are ordered by.

    Raises:
        InvalidInput: It cannot be read.
    """
    return _orders(clauses, Experiment) or [_CREATED]


def models_where(filter: str) -> Condition:
    """What a search for registered models means: see `runs_where`.

    Raises:
        InvalidInput: The filter cannot be read.
    """
    return And((IsNull(_DELETED), *_without_prompts(_read(filter, RegisteredModel))))


def models_order(clauses: Sequence[str]) -> list[Order]:
    """What registered models are ordered by: their names in the end.

    Raises:
        InvalidInput: It cannot be read.
    """
    return [*_orders(clauses, RegisteredModel), Order(_NAME)]


def versions_where(filter: str) -> Condition:
    """What a search for versions of models means: see `runs_where`.

    Raises:
        InvalidInput: The filter cannot be read.
    """
    return And((IsNull(_DELETED), *_without_prompts(_read(filter, ModelVersion))))


def versions_order(clauses: Sequence[str]) -> list[Order]:
    """What versions are ordered by: where nothing is said the last changed first, ties by name, the newest first.

    Raises:
        InvalidInput: It cannot be read.
    """
    newest = Order(_NUMBER, descending=True)
    orders = _orders(clauses, ModelVersion)
    return [*orders, newest, Order(_NAME)] if orders else [_UPDATED, Order(_NAME), newest]


def logged_where(filter: str, experiments: Sequence[str], datasets: Sequence[Callable[[str], str]]) -> Condition:
    """What a search for logged models means: see `runs_where`.

    Args:
        filter: MLflow's, or more. A comparison with a metric holds when one value fits that was ever kept.
        experiments: The experiments' ids, as clients name them.
        datasets: What a metric is called on each data set that its values may be of; all values count without any.

    Raises:
        InvalidInput: The filter cannot be read.
    """

    def measured(leaf: Leaf) -> Condition:
        if leaf.field.space != "figure":
            return leaf
        names = [named(leaf.field.key) for named in datasets] or [leaf.field.key]
        return Or(tuple(_with_field(leaf, Field("measured", name)) for name in names))

    parts = [_changed(part, measured) for part in _read(filter, LoggedModel)]
    return And((In(_EXPERIMENT, tuple(experiments)), IsNull(_DELETED), *parts))


def logged_order(clauses: Sequence[tuple[str, Callable[[str], str]]]) -> list[Order]:
    """What logged models are ordered by; where nothing is said the newest first.

    Args:
        clauses: Each with what a metric is called on the data set that it is asked of.

    Raises:
        InvalidInput: It cannot be read.
    """
    found: list[Order] = []
    for clause, named in clauses:
        for order in _orders([clause], LoggedModel):
            is_metric = order.field.space == "figure"
            field = Field("figure", named(order.field.key)) if is_metric else order.field
            found.append(Order(field, order.descending))
    _check_orders(found)
    return found or [_CREATED]


def _read(filter: str, kind: type[Record], project: str = "") -> list[Condition]:
    """What a filter means in the ledger's own words; nothing for an empty one."""
    asked = parse(filter, SEARCHED[kind], now=datetime.now(UTC))
    return [] if asked is None else [_changed(asked, lambda leaf: _meant(leaf, kind, project))]


def _orders(clauses: Sequence[str], kind: type[Record]) -> list[Order]:
    _check_orders(clauses)
    found = [order for clause in clauses for order in parse_order(clause, SEARCHED[kind])]
    renamed = _RENAMED.get(kind, {})
    return [Order(renamed.get(order.field, order.field), order.descending) for order in found]


def _check_orders(given: Sequence[object]) -> None:
    if len(given) > _MOST_ORDERS:
        raise InvalidInput(f"{len(given)} orders are too many.", fix=f"Give at most {_MOST_ORDERS}.", field="order_by")


def _changed(condition: Condition, change: Callable[[Leaf], Condition]) -> Condition:
    """The same condition with each comparison changed."""
    match condition:
        case And(parts):
            return And(tuple(_changed(part, change) for part in parts))
        case Or(parts):
            return Or(tuple(_changed(part, change) for part in parts))
        case Not(part):
            return Not(_changed(part, change))
    return change(condition)


def _meant(leaf: Leaf, kind: type[Record], project: str) -> Condition:
    """The same comparison in the ledger's own names."""
    field = _RENAMED.get(kind, {}).get(leaf.field, leaf.field)
    if field.space == "attribute" and SEARCHED[kind].sort(field) == "time":
        return _of_millisecond(leaf)
    match leaf:
        case Compare(_, operator, value):
            return Compare(field, operator, _value(field, value, kind, project))
        case In(_, values):
            return In(field, tuple(_value(field, value, kind, project) for value in values))
    return _with_field(leaf, field)


def _with_field(leaf: Leaf, field: Field) -> Leaf:
    match leaf:
        case Compare(_, operator, value):
            return Compare(field, operator, value)
        case In(_, values):
            return In(field, values)
        case Between(_, low, high):
            return Between(field, low, high)
    return IsNull(field)


def _of_millisecond(leaf: Leaf) -> Condition:
    """A comparison of a time that a client was told in whole milliseconds: each stands for all of its microseconds."""
    field = leaf.field
    match leaf:
        case Compare(_, "=", float(value)) if value.is_integer():
            return And((Compare(field, ">=", value), Compare(field, "<", value + 1)))
        case Compare(_, "!=", float(value)) if value.is_integer():
            return Or((Compare(field, "<", value), Compare(field, ">=", value + 1)))
        case Compare(_, "<=", float(value)) if value.is_integer():
            return Compare(field, "<", value + 1)
        case Compare(_, ">", float(value)) if value.is_integer():
            return Compare(field, ">=", value + 1)
        case Between(_, low, float(high)) if high.is_integer():
            return And((Compare(field, ">=", low), Compare(field, "<", high + 1)))
        case In(_, values):
            return Or(tuple(_of_millisecond(Compare(field, "=", value)) for value in values))
    return leaf


def _value(field: Field, value: Value, kind: type[Record], project: str) -> Value:
    if field == _STATE and isinstance(value, str):
        return _STATES.get(kind, {}).get(value.upper(), value)
    if kind is Experiment and field == Field("attribute", "id") and value == DEFAULT:
        return f"{DEFAULT}@{project}"
    return value


def _without_prompts(parts: list[Condition]) -> list[Condition]:
    """What is asked of models: where it does not ask for prompts, of all but those.

    Clients say "no prompt" by comparing with a tag that a model does not have; every model shall fit that.
    """
    if any(_asks_for_prompts(part) for part in parts):
        return parts
    plain = [_changed(part, lambda leaf: And(()) if leaf.field == _PROMPT else leaf) for part in parts]
    return [Not(Compare(_PROMPT, "ILIKE", "true")), *plain]


def _asks_for_prompts(condition: Condition) -> bool:
    match condition:
        case And(parts) | Or(parts):
            return any(_asks_for_prompts(part) for part in parts)
        case Not(part):
            return _asks_for_prompts(part)
    return condition == Compare(_PROMPT, "=", "true")
