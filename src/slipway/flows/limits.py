"""The sections `[retention]` and `[quota]` in the ledger, so that a server holds them without the project's slipway.toml."""

from __future__ import annotations

import msgspec

from slipway.errors import InvalidSetting
from slipway.ledger import declared, events
from slipway.ledger.limits import kept_limits
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.records.limits import KeptLimits, Quota, Retention

__all__ = ["check_limits", "declare_limits"]


def check_limits(retention: Retention, quota: Quota) -> None:
    """Refuse numbers that say nothing.

    Raises:
        InvalidSetting: One is negative.
    """
    for section, given in (("retention", retention), ("quota", quota)):
        for name, value in msgspec.structs.asdict(given).items():
            if value < 0:
                raise InvalidSetting(
                    f"The setting {section}.{name} is {value}.", fix="Write a whole number from 1 up, or leave it out."
                )


def declare_limits(workspace: Workspace, retention: Retention, quota: Quota) -> None:
    """Keep what slipway.toml says; the same again writes nothing.

    Who may not purge changes nothing: what was declared before stays in force, and a line says so.
    """
    with workspace.ledger.read() as tx:
        former = kept_limits(tx, workspace)
    standing = (former.retention, former.quota) if former else (Retention(), Quota())
    if (retention, quota) == standing:
        return
    if not allowed(workspace.actor, "trash.purge"):
        workspace.say(
            "The sections [retention] and [quota] of slipway.toml are not those in force, and stay without effect until a "
            "platform engineer or an admin runs or deploys the project."
        )
        return
    with workspace.ledger.write() as tx:
        kept = declared.keep(tx, workspace, KeptLimits, retention=retention, quota=quota)
        told = {"retention": msgspec.to_builtins(retention), "quota": msgspec.to_builtins(quota)}
        events.record(tx, workspace, "limits.declare", f"limits:{kept.id}", **told)
