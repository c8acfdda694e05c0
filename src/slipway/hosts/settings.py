"""slipway.toml: one struct a section, an unknown key is an error with its near match."""

import os
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from slipway.errors import InvalidDeclaration, InvalidSetting, NotFound, near
from slipway.flows.cost_rates import check_rates
from slipway.flows.limits import check_limits
from slipway.governance.anchors import check_anchor
from slipway.hosts.blob_places import check_place
from slipway.hosts.executors import check_executor
from slipway.hosts.settings_notify import check_notify
from slipway.ids import check_name
from slipway.pipelines.limits import memory_bytes
from slipway.records.costs import Rates
from slipway.records.limits import Quota, Retention
from slipway.records.log_in import OidcSettings, ServerSettings
from slipway.records.notifications import ChannelSettings, NotifySettings
from slipway.records.responsibility import DEFAULT, LETTERS, STAGES, RaciRow
from slipway.serving.secret_urls import POSTGRES, check_no_command, check_url

__all__ = [
    "FILE",
    "LOCAL_FILE",
    "AuditSettings",
    "EnvironmentSettings",
    "LocalSettings",
    "Made",
    "ProjectSettings",
    "RaciSettings",
    "Settings",
    "find_folder",
    "locate",
    "raci_rows",
    "read_local",
    "read_settings",
]

FILE = "slipway.toml"
_PLAIN: dict[str, type[Struct]] = {"cost": Rates, "retention": Retention, "quota": Quota}
LOCAL_FILE = "slipway.local.toml"
"""Beside it: the environments that `slipway env create` made in this checkout; see `slipway.hosts.on_demand`."""


class ProjectSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[project]`.

    Args:
        name: The project's name.
        module: The module or package that declares tables, features, pipelines and endpoints.
        template: The template that the project was made from: `slipway new` writes it, a floor may ask for it.
    """

    name: str
    module: str = "project"
    template: str = ""


class EnvironmentSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A section `[environments.NAME]`.

    Args:
        store: The folder of the store, relative to slipway.toml.
        ledger: The URL of the PostgreSQL database that keeps the ledger, "" for a file in the store's folder; several
            servers may share it. A password is named: "postgresql://slipway:${PGPASSWORD}@host/slipway", or
            "env:DATABASE_URL" for the whole URL; a file or a command does as well: see docs/security.md.
        blobs: Where blobs and the parts of tables are kept: "s3://bucket/prefix", gs:// or az://; "" for the folder.
            Credentials, region and endpoint are read from the environment.
        server: The URL of a server that keeps the store; then the store is reached through it, and `sw.run` sends its
            runs there, by way of an outbox in the folder `store`.
        online: The URL of an online store that endpoints share, redis:// or rediss://; "" for one embedded in each
            endpoint. A password is named: "redis://:${REDIS_PASSWORD}@host:6379/0", or "env:REDIS_URL" for the whole URL,
            or a file; no command, for endpoints run none that their folder names.
        executor: Where pipelines carry out their steps: "threads" of the pipeline's process, "processes" of the same
            machine, "ray" for a Ray cluster that is started for each run, "ray://host:10001" or "ray:host:6379" for one that runs.
        workers: How many steps run at once, 0 for as many as there are processors.
        memory: How much memory the making of a training set may take, all of its process counted, about: "2GB"; "" for
            half of what is free.
        traces: The URL of a receiver of OpenTelemetry's traces, OTLP over HTTP: "http://collector:4318"; "" for none.
            Endpoints and the server send them. OpenTelemetry's environment variables have the last word.
        port: One port for all endpoints of the store, 1 to 65535, each from its next start; 0 for what
            `slipway endpoints listen` says.
    """

    store: str = ".slipway"
    ledger: str = ""
    blobs: str = ""
    server: str = ""
    online: str = ""
    executor: str = "threads"
    workers: int = 0
    memory: str = ""
    traces: str = ""
    port: int = 0

    @property
    def memory_bytes(self) -> int:
        """The setting `memory` in bytes, 0 where it is "".

        Raises:
            InvalidSetting: It is no amount of memory.
        """
        if not self.memory:
            return 0
        try:
            return memory_bytes(self.memory)
        except InvalidDeclaration as problem:
            raise InvalidSetting(f"The setting memory is {self.memory!r}.", fix=problem.fix) from problem


class AuditSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[audit]`.

    Args:
        anchor: Where the audit log's signed roots are written too: "file:../elsewhere/roots.log" for lines of a file,
            "git:../audit-roots" for annotated tags of a repository. Relative paths begin where slipway.toml lies.
    """

    anchor: tuple[str, ...] = ()


class RaciSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A section `[raci.STAGE]`, or `[raci.default]` for every stage that does not say otherwise.

    The stages are scope, data, feature, train, validate, approve, deploy, monitor, retrain and retire. People are named as
    `slipway people list` does; a letter that a stage leaves out is the default's, [] is nobody.

    Args:
        responsible: Who does it: incidents are theirs.
        accountable: Who answers for it: one person. Approvals are theirs.
        consulted: Who is asked before it is decided.
        informed: Who is told.
    """

    responsible: str | tuple[str, ...] | None = None
    accountable: str | tuple[str, ...] | None = None
    consulted: str | tuple[str, ...] | None = None
    informed: str | tuple[str, ...] | None = None


class Made(Struct, frozen=True, forbid_unknown_fields=True):
    """A section `[made.NAME]` of slipway.local.toml: where an environment on demand came from.

    Args:
        like: The environment whose settings it took over.
        made_at: When it was made.
        made_by: Who made it.
        expires: For how long it may be unused: "7d", "never".
        warned_at: When somebody was told that it will go, None while it is used.
        destroyed_at: Since when it is in the trash, None while it is there.
    """

    like: str
    made_at: datetime
    made_by: str
    expires: str
    warned_at: datetime | None = None
    destroyed_at: datetime | None = None


class LocalSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole slipway.local.toml: environments as in slipway.toml, and what is known of each."""

    environments: dict[str, EnvironmentSettings] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    project: ProjectSettings
    environments: dict[str, EnvironmentSettings] = field(default_factory=dict)
    audit: AuditSettings = AuditSettings()
    raci: dict[str, RaciSettings] = field(default_factory=dict)
    server: ServerSettings = ServerSettings()
    notify: NotifySettings = NotifySettings()
    cost: Rates = Rates()
    retention: Retention = Retention()
    quota: Quota = Quota()

    def environment(self, name: str) -> EnvironmentSettings:
        """The settings of an environment; "dev" needs no section.

        Raises:
            NotFound: The file has no such section.
        """
        if name == "dev" and name not in self.environments:
            return EnvironmentSettings()
        if name not in self.environments:
            raise NotFound(
                f"slipway.toml has no environment {name!r}.",
                fix=near(name, {"dev", *self.environments}, what="environments"),
            )
        return self.environments[name]


def find_folder(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds a slipway.toml.

    Raises:
        NotFound: There is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE).is_file():
            return folder
    raise NotFound(
        f"No slipway.toml was found in {start.resolve()} or above it.",
        fix="Go into your project's folder, or make a project: slipway new my-project",
    )


def locate(start: Path, *, implicit: bool = False) -> tuple[Path, Settings]:
    """The folder and settings of the project around a folder.

    Args:
        start: Where to begin looking, upwards.
        implicit: Whether a folder without slipway.toml becomes a project of its own name. A folder that has a store
            `.slipway` is one already: that is how a script's runs are found again.

    Raises:
        NotFound: There is no slipway.toml.
        InvalidSetting: It does not fit.
    """
    start = start.resolve()
    try:
        home = find_folder(start)
    except NotFound:
        if not implicit and not (start / ".slipway" / "ledger.db").is_file():
            raise
        name = re.sub(r"[^a-z0-9_-]+", "-", start.name.lower()).strip("-_")[:128] or "project"
        return start, _overridden(Settings(ProjectSettings(name=name)))
    return home, read_settings(home)


def read_settings(folder: Path) -> Settings:
    """Read a project's slipway.toml; environment variables SLIPWAY_STORE, SLIPWAY_BLOBS and SLIPWAY_SERVER override every environment.

    Raises:
        InvalidSetting: The file is not TOML, or a key is unknown, missing or of the wrong type.
    """
    path = folder / FILE
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InvalidSetting(f"{path} is not valid TOML: {problem}.", fix="Mend the line it names.") from problem
    _check_keys(path, values)
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as problem:
        raise InvalidSetting(f"{path} does not fit: {problem}.", fix="See docs/reference/settings.md.") from problem
    check_name(settings.project.name, "project")
    settings = _with_local(folder, settings)
    for anchor in settings.audit.anchor:
        check_anchor(anchor)
    check_notify(settings.notify)
    check_rates(settings.cost)
    check_limits(settings.retention, settings.quota)
    for chosen in settings.environments.values():
        check_url(chosen.online, "The setting online")
        check_no_command(chosen.online, "The setting online")
        check_url(chosen.ledger, "The setting ledger", POSTGRES)
        check_executor(chosen.executor, chosen.workers)
        _ = chosen.memory_bytes
        _check_port(chosen.port)
    settings = _overridden(settings)
    for chosen in settings.environments.values():
        check_place(chosen.blobs, "The setting blobs")
    return settings


def read_local(folder: Path) -> LocalSettings:
    """The environments on demand of a project's folder; none where there is no slipway.local.toml.

    Raises:
        InvalidSetting: The file is not as it was written.
    """
    path = folder / LOCAL_FILE
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), LocalSettings)
        if found.environments.keys() == found.made.keys():
            return found
        problem = "its sections do not belong together"
    except FileNotFoundError:
        return LocalSettings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        problem = str(error)
    raise InvalidSetting(
        f"{path} cannot be read: {problem}.",
        why="It is written by `slipway env`, and by nobody else.",
        fix="Mend it, or remove it: the stores beside it, .slipway-NAME, stay.",
    )


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise InvalidSetting(
            f"The setting port is {port}.", fix="Give a port that is free, from 1 to 65535: port = 8080"
        )


def _with_local(folder: Path, settings: Settings) -> Settings:
    """The settings with the environments on demand that are not in the trash; slipway.toml's own come first."""
    local = read_local(folder)
    there = {name: one for name, one in local.environments.items() if local.made[name].destroyed_at is None}
    return msgspec.structs.replace(settings, environments=there | settings.environments)


def raci_rows(settings: Settings) -> tuple[RaciRow, ...]:
    """Who is what in each stage, the default put in where a stage leaves a letter out; () without any section."""
    if not settings.raci:
        return ()
    default = settings.raci.get(DEFAULT, RaciSettings())
    rows = []
    for stage in STAGES:
        own = settings.raci.get(stage, default)
        named = {letter: _names(getattr(own, letter), getattr(default, letter)) for letter in LETTERS}
        rows.append(RaciRow(stage=stage, **named))
    return tuple(rows)


def _names(*given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    found = next((one for one in given if one is not None), ())
    return tuple(dict.fromkeys(filter(None, (found,) if isinstance(found, str) else found)))


def _overridden(settings: Settings) -> Settings:
    override = {
        key: os.environ[variable]
        for key, variable in (("store", "SLIPWAY_STORE"), ("blobs", "SLIPWAY_BLOBS"), ("server", "SLIPWAY_SERVER"))
        if os.environ.get(variable)
    }
    if not override:
        return settings
    names = {"dev", *settings.environments}
    changed = {name: msgspec.structs.replace(settings.environment(name), **override) for name in names}
    return msgspec.structs.replace(settings, environments=changed)


def _check_keys(path: Path, values: dict[str, Any]) -> None:
    sections: list[tuple[str, Any, type[Struct]]] = [("", values, Settings)]
    sections.append(("project", values.get("project", {}), ProjectSettings))
    sections.append(("audit", values.get("audit", {}), AuditSettings))
    sections += [(name, values.get(name, {}), kind) for name, kind in _PLAIN.items()]
    server = values.get("server", {})
    sections.append(("server", server, ServerSettings))
    sections.append(("server.oidc", server.get("oidc", {}) if isinstance(server, dict) else {}, OidcSettings))
    sections.append(("notify", notify := values.get("notify", {}), NotifySettings))
    channels = notify.get("channels", {}) if isinstance(notify, dict) else {}
    if isinstance(channels, dict):
        sections += [(f"notify.channels.{name}", section, ChannelSettings) for name, section in channels.items()]
    environments = values.get("environments", {})
    if isinstance(environments, dict):
        sections += [(f"environments.{name}", section, EnvironmentSettings) for name, section in environments.items()]
    raci = values.get("raci", {})
    if isinstance(raci, dict):
        for name in raci:
            if name not in (DEFAULT, *STAGES):
                stages = near(name, (DEFAULT, *STAGES), what="stages")
                raise InvalidSetting(f"{path}: there is no stage {name!r} in [raci].", fix=stages)
        sections += [(f"raci.{name}", section, RaciSettings) for name, section in raci.items()]
    for name, section, kind in sections:
        for key in section if isinstance(section, dict) else ():
            if key not in kind.__struct_fields__:
                where = f"[{name}]" if name else "the top level"
                raise InvalidSetting(
                    f"{path}: unknown key {key!r} in {where}.", fix=near(key, kind.__struct_fields__, what="keys")
                )
