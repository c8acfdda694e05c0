"""MLflow's filters and orders over what the ledger indexes: read by the ledger's own language, which knows more.

Some fields are called otherwise there: a status is a state, the default experiment has another id in each project.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from slipway.errors import InvalidInput
from slipway.ledger.experiments import DEFAULT
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search_language import parse, parse_order
from slipway.records.record import Record
from slipway.records.runs import Experiment, Run
from slipway.records.search import And, Between, Compare, Condition, Field, In, IsNull, Not, Or, Order, Value
from slipway.runs.outside import RUN_NAME
from slipway.server.mlflow.words import STATUS

__all__ = ["experiment_order", "experiments_where", "runs_order", "runs_where"]

_STATES = {word: state for state, word in STATUS.items()}
_NAME = Field("attribute", "name")
_DELETED = Field("attribute", "deleted")
_STATE = Field("attribute", "state")
_STARTED = Order(Field("attribute", "started"), descending=True)
_MOST_ORDERS = 20
_RENAMED: dict[type[Record], dict[Field, Field]] = {
    # Clients call the user what they claim; what begins natively has its name as no tag.
    Run: {Field("attribute", "actor"): Field("tag", "mlflow.user"), Field("tag", RUN_NAME): _NAME},
    Experiment: {},
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
    parts: list[Condition] = [In(Field("attribute", "experiment_id"), tuple(experiments))]
    if view != "all":
        parts.append(IsNull(_DELETED) if view == "active" else Not(IsNull(_DELETED)))
    return _read(filter, Run, "", parts)


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
    return _read(filter, Experiment, project, parts)


def experiment_order(clauses: Sequence[str]) -> list[Order]:
    """What experiments are ordered by.

    Raises:
        InvalidInput: It cannot be read.
    """
    return _orders(clauses, Experiment) or [Order(Field("attribute", "created"), descending=True)]


def _read(filter: str, kind: type[Record], project: str, parts: list[Condition]) -> Condition:
    asked = parse(filter, SEARCHED[kind], now=datetime.now(UTC))
    if asked is not None:
        parts.append(_meant(asked, kind, project))
    return And(tuple(parts))


def _orders(clauses: Sequence[str], kind: type[Record]) -> list[Order]:
    if len(clauses) > _MOST_ORDERS:
        raise InvalidInput(
            f"{len(clauses)} orders are too many.", fix=f"Give at most {_MOST_ORDERS}.", field="order_by"
        )
    found = [order for clause in clauses for order in parse_order(clause, SEARCHED[kind])]
    return [Order(_RENAMED[kind].get(order.field, order.field), order.descending) for order in found]


def _meant(condition: Condition, kind: type[Record], project: str) -> Condition:
    """The same condition in the ledger's own names."""
    match condition:
        case And(parts):
            return And(tuple(_meant(part, kind, project) for part in parts))
        case Or(parts):
            return Or(tuple(_meant(part, kind, project) for part in parts))
        case Not(part):
            return Not(_meant(part, kind, project))
    field = _RENAMED[kind].get(condition.field, condition.field)
    match condition:
        case Compare(_, operator, value):
            return Compare(field, operator, _value(field, value, kind, project))
        case In(_, values):
            return In(field, tuple(_value(field, value, kind, project) for value in values))
        case Between(_, low, high):
            return Between(field, low, high)
    return IsNull(field)


def _value(field: Field, value: Value, kind: type[Record], project: str) -> Value:
    if kind is Run and field == _STATE and isinstance(value, str):
        return _STATES.get(value.upper(), value)
    if kind is Experiment and field == Field("attribute", "id") and value == DEFAULT:
        return f"{DEFAULT}@{project}"
    return value
