"""How long a project's things are kept, and how much it may use: the sections `[retention]` and `[quota]`."""

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["KeptLimits", "Quota", "Retention"]


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[retention]`: after how many days what nothing needs goes by itself. 0 for never.

    Args:
        runs: Runs that ended so long ago go into the trash, where `slipway trash keep` says how long they stay; with them go
            their points, artifacts and steps. Those that a record names, that have a logged model, or that hold younger runs, stay.
        tasks: The folders of ended pipelines, scorings and retrainings in the store's `tasks/`, with what they printed.
        unnamed: Bytes that nothing in the store names any more, counted from when they were stored.
    """

    runs: int = 0
    tasks: int = 0
    unnamed: int = 0


class Quota(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[quota]`: how much the project may use in this environment. 0 for no limit.

    Args:
        runs_a_day: Runs that begin within 24 hours.
        pipelines: Pipelines that run at once.
        endpoints: Endpoints that were deployed.
    """

    runs_a_day: int = 0
    pipelines: int = 0
    endpoints: int = 0


class KeptLimits(Record, frozen=True, kw_only=True, tag="limits"):
    """Both, as they were declared. Id: `<project>/<environment>/<number>`; name: the environment's.

    Args:
        number: Counts the changes within the project and environment, from 1.
        retention: What `[retention]` said.
        quota: What `[quota]` said.
        actor: Who declared them.
    """

    number: int
    retention: Retention = Retention()
    quota: Quota = Quota()
    actor: Actor
