"""The table itself: every operation by name."""

from slipway.errors import NotFound, near
from slipway.operations import (
    abtests,
    asking,
    audit,
    business,
    catalog,
    comments,
    contracts,
    costs,
    delta,
    documents,
    drift,
    endpoints,
    erasures,
    executions,
    features,
    files,
    findings,
    floors,
    governance,
    health,
    home,
    incidents,
    journey,
    load,
    migrations,
    models,
    old_systems,
    people,
    pipelines,
    portfolio,
    projects,
    promotions,
    quality,
    responsibility,
    rollouts,
    run_tables,
    runs,
    schedules,
    scopes,
    scorings,
    settings,
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
    home,
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
    run_tables,
    runs,
    pipelines,
    migrations,
    models,
    documents,
    journey,
    costs,
    load,
    executions,
    drift,
    endpoints,
    findings,
    asking,
    health,
    old_systems,
    quality,
    rollouts,
    abtests,
    contracts,
    scopes,
    business,
    portfolio,
    scorings,
    schedules,
    incidents,
    simulations,
    governance,
    audit,
    promotions,
    floors,
    settings,
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
