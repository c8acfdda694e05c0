"""The table itself: every operation by name."""

from slipway.errors import NotFound, near
from slipway.operations import (
    abtests,
    audit,
    catalog,
    comments,
    delta,
    endpoints,
    erasures,
    features,
    files,
    floors,
    governance,
    load,
    models,
    old_systems,
    people,
    projects,
    promotions,
    responsibility,
    rollouts,
    runs,
    schedules,
    scorings,
    sharing,
    simulations,
    table_checks,
    table_versions,
    tables,
    trash,
)
from slipway.operations.declare import Operation

__all__ = ["OPERATIONS", "operation"]

_NOUNS = (
    projects,
    people,
    responsibility,
    comments,
    tables,
    table_checks,
    table_versions,
    delta,
    files,
    erasures,
    features,
    catalog,
    sharing,
    runs,
    models,
    load,
    endpoints,
    old_systems,
    rollouts,
    abtests,
    scorings,
    schedules,
    simulations,
    governance,
    audit,
    promotions,
    floors,
    trash,
)
OPERATIONS: dict[str, Operation] = {declared.name: declared for noun in _NOUNS for declared in noun.operations}


def operation(name: str) -> Operation:
    """The operation of a name.

    Raises:
        NotFound: There is none.
    """
    if name not in OPERATIONS:
        raise NotFound(f"There is no operation {name!r}.", fix=near(name, OPERATIONS, what="operations"))
    return OPERATIONS[name]
