"""Runs found by the name of their experiment: the experiments are looked up first, for a run knows only the id."""

from slipway.ledger.experiments import DEFAULT, DEFAULT_NAME
from slipway.patterns import like, regex
from slipway.ports.ledger_store import ReadTransaction
from slipway.records.search import And, Between, Compare, Condition, Field, In, IsNull, Not, Or, Position

__all__ = ["EXPERIMENT", "EXPERIMENT_ID", "by_id"]

EXPERIMENT = Field("attribute", "experiment")
EXPERIMENT_ID = Field("attribute", "experiment_id")

_NAME = Field("attribute", "name")
_PAGE = 1000


def by_id(tx: ReadTransaction, condition: Condition, project: str) -> Condition:
    """The same condition about runs, with the ids of experiments instead of their names.

    Args:
        tx: The transaction in which runs are then searched.
        condition: What must hold of a run.
        project: Whose runs.
    """
    match condition:
        case And(parts):
            return And(tuple(by_id(tx, part, project) for part in parts))
        case Or(parts):
            return Or(tuple(by_id(tx, part, project) for part in parts))
        case Not(part):
            return Not(by_id(tx, part, project))
    if condition.field != EXPERIMENT:
        return condition
    match condition:
        case Compare(_, operator, value):
            return In(EXPERIMENT_ID, _ids(tx, Compare(_NAME, operator, value), project))
        case In(_, values):
            return In(EXPERIMENT_ID, _ids(tx, In(_NAME, values), project))
        case Between(_, low, high):
            return In(EXPERIMENT_ID, _ids(tx, Between(_NAME, low, high), project))
    return IsNull(EXPERIMENT_ID)


def _ids(tx: ReadTransaction, named: Compare | In | Between, project: str) -> tuple[str, ...]:
    """What runs call the experiments whose names fit."""
    default = f"{DEFAULT}@{project}"
    found: list[str] = []
    after: Position | None = None
    while True:
        page = tx.search("experiment", project=project, where=named, after=after, limit=_PAGE)
        found += [DEFAULT if entry.id == default else entry.id for entry in page.entries]
        after = page.position
        if after is None:
            break
    if tx.get("experiment", default) is None and _fits(named, DEFAULT_NAME):
        found.append(DEFAULT)
    return tuple(found)


def _fits(named: Compare | In | Between, name: str) -> bool:
    """Whether a name fits that stands in no record: that of the default experiment while nothing was said of it."""
    if isinstance(named, In):
        return name in named.values
    if isinstance(named, Between):
        return str(named.low) <= name <= str(named.high)
    wanted = str(named.value)
    match named.operator:
        case "LIKE" | "ILIKE":
            return like(wanted, named.operator == "ILIKE")(name)
        case "MATCHES":
            return regex(wanted)(name)
        case "=" | "!=":
            return (name == wanted) == (named.operator == "=")
        case "<" | "<=":
            return name < wanted or (named.operator == "<=" and name == wanted)
    return name > wanted or (named.operator == ">=" and name == wanted)
