"""How a store and a project of it are set up, as the store remembers it: where each value comes from, never a secret."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from slipway.flows.cost_rates import kept_rates
from slipway.governance.anchors import anchors_of
from slipway.governance.channels import notify_settings
from slipway.ledger import entries
from slipway.ledger.limits import kept_limits, used
from slipway.ledger.retention import keep_days
from slipway.operations.declare import Empty
from slipway.operations.settings import Channel, Setting, Settings
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.secrets import is_kept_elsewhere
from slipway.ports.workspace import LARGEST_UPLOAD, Workspace
from slipway.records.costs import Rates
from slipway.records.endpoints import Revision
from slipway.records.limits import Quota, Retention
from slipway.records.notifications import ChannelSettings, Delivery, NotifySettings
from slipway.records.trash import KEEP_DAYS

__all__ = ["get_settings"]

_FILE = "slipway.toml"
_DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
_COUNTED = 1000
_DAY_US = 86_400_000_000
_RATES = (
    ("cpu_hour", "An hour of a processor"),
    ("gpu_hour", "An hour of a graphics processor"),
    ("gb_month", "A month of a gigabyte"),
    ("currency", "Currency"),
)
_NOTIFY = (
    ("escalate", "Nobody looks: the accountable are told after"),
    ("escalate_pages", "The same for service and money"),
    ("cooldown", "What comes back is the same incident within"),
    ("hold", "Repeats of noise are held back for"),
    ("digest", "The day's digest is made at the hour (UTC)"),
    ("address", "Links in messages begin with"),
)


def get_settings(workspace: Workspace, request: Empty) -> Settings:
    """All of it. What slipway.toml says is as it was when a command last ran in the project's folder."""
    notify = notify_settings(workspace.root, workspace.project)
    with workspace.ledger.read() as tx:
        found = [
            *_store(workspace),
            *_retention(tx, workspace),
            *_rates(kept_rates(workspace)),
            *_notify(notify),
            *_anchors(workspace),
            *_limits(workspace),
            *_quota(tx, workspace),
        ]
        channels = tuple(_channel(tx, workspace, name, one) for name, one in sorted(notify.channels.items()))
    return Settings(settings=tuple(found), channels=channels)


def _store(workspace: Workspace) -> list[Setting]:
    env = f"{_FILE} [environments.{workspace.environment}]"
    database = workspace.ledger.database
    ledger, blobs = f"{_DATABASES.get(database, database)} ledger", _kind(workspace.blobs)
    online = _place(workspace.online) or "embedded in each endpoint"
    executor = workspace.placement.setting or "threads"
    workers = str(workspace.placement.workers or "as many as processors")
    return [
        Setting(section="Environment", name="Environment", value=workspace.environment, source="slipway up --env"),
        Setting(section="Environment", name="The store's folder", value=str(workspace.root), source=f"{env} store"),
        Setting(section="Backends", name="Ledger", value=ledger, source=f"{env} ledger", is_default="SQLite" in ledger),
        Setting(section="Backends", name="Blobs", value=blobs, source=f"{env} blobs", is_default="Local" in blobs),
        Setting(
            section="Backends",
            name="Parts of tables",
            value="the store's folder" if workspace.open_parts is None else "beside the blobs",
            source=f"{env} blobs",
            is_default=workspace.open_parts is None,
        ),
        Setting(
            section="Backends",
            name="Online store",
            value=online,
            source=f"{env} online",
            is_default=not workspace.online,
        ),
        Setting(
            section="Backends",
            name="Executor of steps",
            value=executor,
            source=f"{env} executor",
            is_default=executor == "threads",
        ),
        Setting(
            section="Backends",
            name="Steps at a time",
            value=workers,
            source=f"{env} workers",
            is_default=not workspace.placement.workers,
        ),
    ]


def _kind(backend: object) -> str:
    """What a backend is, by the name of its class in words: "Local blobs"."""
    name = type(backend).__name__.lstrip("_")
    return "".join(f" {letter.lower()}" if letter.isupper() and place else letter for place, letter in enumerate(name))


def _retention(tx: ReadTransaction, workspace: Workspace) -> list[Setting]:
    days = keep_days(tx, workspace)
    found = [
        Setting(
            section="Retention",
            name="What is in the trash is purged",
            value="never" if days is None else f"after {days} days",
            source="slipway trash keep",
            is_default=days == KEEP_DAYS,
        )
    ]
    found += _goes(tx, workspace)
    for name, id in sorted(tx.refs(workspace.project, "endpoint").items()):
        kept = entries.get(tx, Revision, id).log.keep_us
        found.append(
            Setting(
                section="Retention",
                name=f"The prediction log of {name} is kept",
                value=f"{kept / _DAY_US:g} days" if kept else "for ever",
                source="the endpoint's declaration: sw.Log(keep=...)",
                is_default=not kept,
            )
        )
    return found


def _rates(rates: Rates) -> list[Setting]:
    return [
        Setting(
            section="Costs",
            name=title,
            value=str(getattr(rates, key) or "not declared"),
            source=f"{_FILE} [cost] {key}",
            is_default=not getattr(rates, key),
        )
        for key, title in _RATES
    ]


def _notify(notify: NotifySettings) -> list[Setting]:
    default = NotifySettings()
    return [
        Setting(
            section="Notifications",
            name=title,
            value=str(getattr(notify, key)) or "not declared",
            source=f"{_FILE} [notify] {key}",
            is_default=getattr(notify, key) == getattr(default, key),
        )
        for key, title in _NOTIFY
    ]


def _anchors(workspace: Workspace) -> list[Setting]:
    named = [_place(one) for one in anchors_of(workspace.root)]
    return [
        Setting(
            section="Audit",
            name="Signed roots are written to",
            value=", ".join(named) or "nowhere else",
            source=f"{_FILE} [audit] anchor",
            is_default=not named,
        )
    ]


_GOES = (
    ("runs", "Runs that nothing needs go into the trash"),
    ("tasks", "Folders of ended tasks go"),
    ("unnamed", "Bytes that nothing names go"),
)
_QUOTA = (
    ("runs_a_day", "Runs within 24 hours"),
    ("pipelines", "Pipelines at once"),
    ("endpoints", "Endpoints"),
)


def _goes(tx: ReadTransaction, workspace: Workspace) -> list[Setting]:
    kept = kept_limits(tx, workspace)
    rule = kept.retention if kept else Retention()
    return [
        Setting(
            section="Retention",
            name=title,
            value=f"after {days} days" if (days := getattr(rule, key)) else "never",
            source=f"{_FILE} [retention] {key}",
            is_default=not days,
        )
        for key, title in _GOES
    ]


def _quota(tx: ReadTransaction, workspace: Workspace) -> list[Setting]:
    """How much the project may use, and uses; counting ends a little above what it may, and at a thousand without a limit."""
    kept = kept_limits(tx, workspace)
    quota, found = kept.quota if kept else Quota(), []
    for key, title in _QUOTA:
        most: int = getattr(quota, key)
        now = used(tx, workspace, key, max(most + 1, _COUNTED))
        so_far = f"{now:,}" if now < _COUNTED else f"{_COUNTED:,} or more"
        value = f"{so_far} of {most:,}" if most else f"no limit, {so_far} now"
        found.append(
            Setting(section="Limits", name=title, value=value, source=f"{_FILE} [quota] {key}", is_default=not most)
        )
    return found


def _limits(workspace: Workspace) -> list[Setting]:
    env = f"{_FILE} [environments.{workspace.environment}]"
    memory = f"{workspace.memory_bytes / 1e9:g} GB" if workspace.memory_bytes else "half of what is free"
    return [
        Setting(
            section="Limits",
            name="The largest artifact sent over HTTP",
            value=f"{workspace.largest_upload / 1e9:g} GB",
            source="slipway up --largest-artifact",
            is_default=workspace.largest_upload == LARGEST_UPLOAD,
        ),
        Setting(
            section="Limits",
            name="Memory of making a training set",
            value=memory,
            source=f"{env} memory",
            is_default=not workspace.memory_bytes,
        ),
    ]


def _channel(tx: ReadTransaction, workspace: Workspace, name: str, one: ChannelSettings) -> Channel:
    last = next(iter(entries.find(tx, Delivery, project=workspace.project, name=name, limit=1)), None)
    told = Channel(name=name, kind=one.kind, levels=tuple(one.levels), target=_target(one))
    if last is None:
        return told
    return msgspec.structs.replace(told, state=last.state, problem=last.problem, at=last.created_at)


def _target(one: ChannelSettings) -> str:
    if one.kind == "mail":
        to = (one.to,) if isinstance(one.to, str) else one.to
        return f"{', '.join(filter(None, to)) or 'whom it is for'} by {one.host}"
    return _place(one.url) or "the server's own output"


def _place(url: str) -> str:
    """An address without what may be secret in it: where it is kept, or its scheme and host alone."""
    if not url or is_kept_elsewhere(url) or url.startswith(("file:", "git:")):
        return url
    parts = urlsplit(url)
    return (
        f"{parts.scheme}://{parts.hostname or ''}"
        if parts.scheme and parts.hostname
        else "an address that is not shown"
    )
