"""Environments on demand: made, looked after and taken away, in a file beside slipway.toml.

slipway.toml is its author's: it is read and never written. What `slipway env create` makes is in `slipway.local.toml`,
which belongs to this checkout and not into version control. An environment that nobody used for as long as it was made
for is warned of, and goes into the trash when the warning is old; from there it goes for good after 30 days.

Commands of the project look, and so does its `slipway up` at each pass. Whoever looks compares what is written with what
lies there and does what is due: after a kill at any place the next one goes on.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from slipway import plugins
from slipway.errors import Conflict, InvalidDeclaration, InvalidInput, InvalidSetting, NotFound, near
from slipway.hosts.environment_use import MARK, free, last_used, note_use, serving
from slipway.hosts.ledgers import is_store, open_ledger
from slipway.hosts.local_rights import check_in_stores
from slipway.hosts.settings import FILE, LOCAL_FILE, EnvironmentSettings, LocalSettings, Made, Settings, read_local
from slipway.ids import check_name, new_id
from slipway.ledger.entries import kind_of
from slipway.ledger.naming import kinds
from slipway.ports.clock import Clock
from slipway.records.projects import Project
from slipway.schema import durations
from slipway.whole_files import write_whole

__all__ = ["KEEP", "create", "destroy", "goes_at", "keep", "look_after", "restore", "trashed_at"]

KEEP = timedelta(days=30)
"""How long a destroyed environment that held something can be taken back."""

_WARNING = timedelta(days=2)
_PREFIX = ".slipway-"
_GOING = ".slipway.going-*"
_HALF = f".{LOCAL_FILE}.*.part"
_PLACES = frozenset({"store", "ledger", "blobs", "server", "online"})
_NEVER = "never"
_HEAD = f"""# Environments that `slipway env create` made. Written by slipway; {FILE} is yours.
# It belongs to this checkout: leave it out of version control.
"""


def create(
    home: Path,
    settings: Settings,
    name: str,
    *,
    by: str,
    expires: str = "7d",
    like: str = "dev",
    clock: Clock | None = None,
) -> EnvironmentSettings:
    """Make an environment with a store of its own, empty, beside the project's others.

    Args:
        home: The project's folder.
        settings: What its files say.
        name: What it shall be called.
        by: Who makes it.
        expires: For how long it may be unused: "12h", "7d"; "never".
        like: The environment whose settings it takes over, but for places: store, ledger, blobs, server, online store.
        clock: Business time; the machine's when None.

    Raises:
        InvalidInput: The name or the duration does not fit.
        InvalidSetting: An environment variable gives every environment the same store or server.
        Conflict: There is one of this name, or something lies where its store would.
        NotFound: There is no environment to take settings from.
        Denied: The store of dev, or of the environment whose settings it takes, knows people, and whoever acts may not.
    """
    check_name(name, "environment")
    _check_expires(expires)
    for variable in ("SLIPWAY_STORE", "SLIPWAY_SERVER", "SLIPWAY_BLOBS"):
        if os.environ.get(variable):
            raise InvalidSetting(
                f"{variable} is set, so every environment would have the same {variable[8:].lower()}.",
                why=f"What is done in {name!r} would be done to the others.",
                fix=f"Take it away for this command: env -u {variable} slipway env create {name}",
            )
    taken = settings.environment(like)
    with _alone(home):
        _check_may(home, settings, like, "create", clock)
        local = read_local(home)
        if name in local.made and local.made[name].destroyed_at is not None:
            raise Conflict(
                f"An environment {name!r} is in the trash.",
                fix=f"Take it back: slipway env restore {name}; or remove it for good: slipway env destroy {name} --now",
            )
        if name == "dev" or name in settings.environments:
            raise Conflict(
                f"There is an environment {name!r} already, in {LOCAL_FILE if name in local.made else FILE}.",
                fix="Give it another name; slipway env list shows all.",
            )
        made = msgspec.structs.replace(taken, **_own_places(name))
        _make_store(home / made.store, name)
        now = _now(clock)
        note_use(home / made.store, now)
        told = Made(like=like, made_at=now, made_by=by, expires=expires)
        environments, others = local.environments | {name: made}, local.made | {name: told}
        _write(home, LocalSettings(environments=environments, made=others))
    return made


def destroy(
    home: Path,
    settings: Settings,
    name: str,
    *,
    stops: bool = False,
    is_final: bool = False,
    clock: Clock | None = None,
) -> datetime | None:
    """Take an environment away: what it holds goes into the trash, an empty one is gone at once.

    Args:
        home: The project's folder.
        settings: What its files say.
        name: Which.
        stops: Whether endpoints that serve are stopped, after what they are answering; otherwise they are a reason to
            refuse.
        is_final: Whether nothing is kept, not even what is in the trash already.
        clock: Business time; the machine's when None.

    Returns:
        Until when it can be taken back, None where it is gone.

    Raises:
        NotFound: There is no such environment.
        InvalidInput: slipway.toml declares it.
        Conflict: Endpoints serve, a process works there, or its folder is not the one that was made for it.
        Denied: Its store or that of dev knows people, and whoever acts may not.
    """
    with _alone(home):
        local = read_local(home)
        told = _made(local, settings, name)
        _check_may(home, settings, name, "destroy", clock)
        store = home / local.environments[name].store
        if told.destroyed_at is None and store.exists():
            _check_mark(store, name)
            _clear(store, name, stops=stops)
        with free(store) as is_free:
            if not is_free:
                raise _busy(name)
            if is_final or (told.destroyed_at is None and _is_empty(store)):
                _forget(home, local, name, _now(clock))
                return None
            at = told.destroyed_at or _now(clock)
            _note(home, local, name, msgspec.structs.replace(told, destroyed_at=at))
            _move(store, _trash(store))
        return at + KEEP


def restore(home: Path, settings: Settings, name: str) -> None:
    """Take an environment out of the trash.

    Raises:
        NotFound: There is none of this name, or its store is gone.
        InvalidInput: slipway.toml declares it, or it is not in the trash.
        Denied: Its store or that of dev knows people, and whoever acts may not.
    """
    with _alone(home):
        local = read_local(home)
        told = _made(local, settings, name)
        if told.destroyed_at is None:
            raise InvalidInput(f"The environment {name!r} is not in the trash.", fix="See `slipway env list`.")
        _check_may(home, settings, name, "restore")
        store = home / local.environments[name].store
        _move(_trash(store), store)
        if not store.exists():
            raise NotFound(
                f"The environment {name!r} cannot be taken back: its store is neither in {store} nor in the trash.",
                fix=f"Let go of what is left of it: slipway env destroy {name} --now",
            )
        note_use(store)
        _note(home, local, name, msgspec.structs.replace(told, destroyed_at=None, warned_at=None))


def keep(home: Path, settings: Settings, name: str, expires: str) -> Made:
    """Let an environment be unused for another time than it was made for.

    Raises:
        NotFound: There is none of this name.
        InvalidInput: slipway.toml declares it, or the duration does not fit.
        Denied: Its store or that of dev knows people, and whoever acts may not.
    """
    _check_expires(expires)
    with _alone(home):
        local = read_local(home)
        told = msgspec.structs.replace(_made(local, settings, name), expires=expires, warned_at=None)
        _check_may(home, settings, name, "keep")
        _note(home, local, name, told)
    return told


def look_after(home: Path, say: Callable[[str], None], clock: Clock | None = None) -> None:
    """Warn of what nobody has used for long, and take away what was warned of long ago. It costs a file's look-up.

    Args:
        home: The project's folder.
        say: Receives a line for each environment that is warned of or goes.
        clock: Business time; the machine's when None.

    Raises:
        InvalidSetting: The file of the environments is damaged.
    """
    if not (home / LOCAL_FILE).exists() and not _left(home):
        return
    now = _now(clock)
    with _alone(home):
        for name, told in read_local(home).made.items():
            local = read_local(home)
            store = home / local.environments[name].store
            goes, is_destroyed = goes_at(store, told), told.destroyed_at is not None
            is_over = told.destroyed_at is not None and now >= told.destroyed_at + KEEP
            if not (is_over or (store.exists() if is_destroyed else goes is not None and now >= goes)):
                continue
            with free(store) as is_free:
                if not is_free:
                    note_use(store, now)
                elif is_over:
                    _forget(home, local, name, now)
                elif is_destroyed:
                    _move(store, _trash(store))  # where a kill came between
                else:
                    _unused(home, local, name, now, say)
        _sweep(home)


def goes_at(store: Path, told: Made) -> datetime | None:
    """When an environment has been unused for as long as it was made for; None for never."""
    used = last_used(store)
    return None if told.expires == _NEVER or used is None else used + _length(told.expires)


def trashed_at(store: Path, told: Made) -> datetime | None:
    """When an environment goes into the trash unless somebody uses it; None while nobody was warned of that."""
    if told.warned_at is None or told.expires == _NEVER or told.warned_at < (last_used(store) or told.warned_at):
        return None
    return told.warned_at + min(_WARNING, _length(told.expires))


def _check_may(home: Path, settings: Settings, name: str, verb: str, clock: Clock | None = None) -> None:
    """Ask for the right in the store of dev, which is the checkout's, and in the environment's own, wherever it lies."""
    environments = settings.environments | read_local(home).environments
    chosen = [settings.environment("dev"), *([environments[name]] if name in environments else [])]
    stores = [home / one.store for one in chosen if not one.server]
    stores = [place for store in stores for place in (store, _trash(store))]
    check_in_stores(stores, settings.project.name, f"environments.{verb}", "environments.write", _now(clock))


def _own_places(name: str) -> dict[str, str]:
    return {**dict.fromkeys(_PLACES, ""), "store": f"{_PREFIX}{name}"}


def _check_expires(expires: str) -> None:
    if expires == _NEVER:
        return
    try:
        _length(expires)
    except (InvalidDeclaration, OverflowError) as problem:
        raise InvalidInput(
            f"{expires!r} is no time after which an unused environment goes.",
            fix="Write it as 12h, 7d or never.",
            field="expires",
        ) from problem


def _length(expires: str) -> timedelta:
    return timedelta(microseconds=durations.microseconds(expires))


def _make_store(store: Path, name: str) -> None:
    if store.exists() and not (store / MARK).is_file():
        raise Conflict(
            f"The store of {name!r} would lie in {store}, where something lies already.",
            fix="Move it away, or give the environment another name.",
        )
    store.mkdir(exist_ok=True)
    (store / ".gitignore").write_text("*\n")
    write_whole(store / MARK, f"{name}\n".encode())


def _check_mark(store: Path, name: str) -> None:
    try:
        marked = (store / MARK).read_text().strip()
    except FileNotFoundError:
        marked = ""
    if marked != name:
        raise Conflict(
            f"The folder {store} was not made for the environment {name!r}.",
            why="Only what `slipway env create` made is taken away.",
            fix=f"Look at it, and at {LOCAL_FILE}; remove by hand what is not needed.",
        )


def _made(local: LocalSettings, settings: Settings, name: str) -> Made:
    if name in local.made:
        return local.made[name]
    if name == "dev" or name in settings.environments:
        raise InvalidInput(
            f"The environment {name!r} was not made by `slipway env create`.",
            why="What slipway.toml declares does not expire, and no command destroys it.",
            fix=f"Take its section out of {FILE}, and remove its store by hand, if that is meant.",
        )
    raise NotFound(f"There is no environment {name!r}.", fix=near(name, local.made, what="environments on demand"))


def _unused(home: Path, local: LocalSettings, name: str, now: datetime, say: Callable[[str], None]) -> None:
    """Warn of an environment that is due, or take it away where the warning is old. It is free."""
    told = local.made[name]
    store = home / local.environments[name].store
    until = trashed_at(store, told)
    if until is None:
        told = msgspec.structs.replace(told, warned_at=now)
        _note(home, local, name, told)
        until = trashed_at(store, told) or now
    if now < until:
        say(
            f"The environment {name!r} was last used on {last_used(store):%Y-%m-%d}. It goes into the trash after "
            f"{until:%Y-%m-%d %H:%M} UTC, unless somebody uses it: slipway env keep {name} --expires 30d"
        )
    elif _is_empty(store):
        _forget(home, local, name, now)
        say(f"The environment {name!r}, which was empty and unused, is gone.")
    else:
        _note(home, local, name, msgspec.structs.replace(told, destroyed_at=now))
        _move(store, _trash(store))
        say(
            f"The environment {name!r} was not used and is in the trash until {now + KEEP:%Y-%m-%d}: "
            f"slipway env restore {name}"
        )


def _clear(store: Path, name: str, *, stops: bool) -> None:
    """Let nothing serve in an environment.

    Raises:
        Conflict: Endpoints serve and may not be stopped, or a process works there, which might start them again.
    """
    running = serving(store)
    if running and not stops:
        raise Conflict(
            f"In the environment {name!r} {_listed(running)}.",
            why="Whoever asks there would get no answer any more.",
            fix=f"Stop them with it: slipway env destroy {name} --stop-endpoints",
        )
    with free(store, despite_endpoints=True) as is_free:
        if not is_free:
            raise _busy(name)
        launcher = plugins.load("launcher", "process")()
        for folder in (store / "endpoints").glob("*/*/"):  # those that are just starting too
            launcher.stop(folder)


def _busy(name: str) -> Conflict:
    return Conflict(
        f"A process works in the environment {name!r}: a run, a notebook, or `slipway up`.",
        why="Its store would be taken away from under it.",
        fix=f"Let it end, or stop it; then: slipway env destroy {name}",
    )


def _is_empty(store: Path) -> bool:
    """Whether nobody did anything in an environment: it was opened at most."""
    if not is_store(store):
        return True
    if any(path.is_file() for path in (store / "run-logs").rglob("*")):  # a run that the ledger does not know yet
        return False
    with closing(open_ledger(store)) as ledger, ledger.read() as tx:
        return not any(tx.find(kind, limit=1) for kind in kinds() if kind != kind_of(Project))


def _trash(store: Path) -> Path:
    return store.with_name(store.name.replace(_PREFIX, ".slipway.trash-", 1))  # no environment's store is called so


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.rename(target)


def _forget(home: Path, local: LocalSettings, name: str, now: datetime) -> None:
    """Remove an environment and what is said of it.

    First it is written that its time in the trash is over: after a kill whoever looks next goes on, and the name is not
    given to a new environment before the old store is gone.
    """
    told = msgspec.structs.replace(local.made[name], destroyed_at=now - KEEP)
    _note(home, local, name, told)
    store = home / local.environments[name].store
    for folder in (store, _trash(store)):
        if folder.exists():
            folder.rename(home / _GOING.replace("*", new_id()))
    environments = {key: value for key, value in local.environments.items() if key != name}
    others = {key: value for key, value in local.made.items() if key != name}
    _write(home, LocalSettings(environments=environments, made=others))
    _sweep(home)


def _left(home: Path) -> list[Path]:
    """What a killed command left half removed or half written."""
    return [path for pattern in (_GOING, _HALF) for path in home.glob(pattern)]


def _sweep(home: Path) -> None:
    for left in _left(home):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def _note(home: Path, local: LocalSettings, name: str, told: Made) -> None:
    _write(home, msgspec.structs.replace(local, made=local.made | {name: told}))


def _now(clock: Clock | None) -> datetime:
    chosen: Clock = clock or plugins.load("clock", "system")()
    return chosen.now()


def _listed(running: tuple[str, ...]) -> str:
    names = ", ".join(name.partition("/")[2] for name in running)
    return f"{'an endpoint serves' if len(running) == 1 else 'endpoints serve'}: {names}"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Be the only command that looks after the environments of a checkout."""
    folder = os.open(home, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(home: Path, local: LocalSettings) -> None:
    path = home / LOCAL_FILE
    if not local.environments:
        path.unlink(missing_ok=True)
        return
    lines = [_HEAD]
    for title, sections in (("environments", local.environments), ("made", local.made)):
        for name, section in sorted(sections.items()):
            lines.append(f"[{title}.{name}]" if "." not in name else f'[{title}."{name}"]')
            values = msgspec.to_builtins(section, str_keys=True)
            # JSON's texts, numbers and truths are TOML's too.
            lines += [
                f"{key} = {msgspec.json.encode(value).decode()}"
                for key, value in values.items()
                if value not in ("", None)
            ]
            lines.append("")
    write_whole(path, "\n".join(lines).encode())
