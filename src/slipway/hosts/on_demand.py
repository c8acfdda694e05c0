"""Environments on demand: made, looked after and taken away by command, in a file beside slipway.toml.

slipway.toml is its author's: it is read and never written. What `slipway env create` makes is in `slipway.local.toml`,
which belongs to this checkout and not into version control. An environment that nobody used for as long as it was made
for is warned of, and goes into the trash when the warning is old; from there it goes for good after 30 days.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from slipway import plugins
from slipway.errors import Conflict, InvalidDeclaration, InvalidInput, InvalidSetting, NotFound, near
from slipway.hosts.ledgers import is_store, open_ledger
from slipway.hosts.settings import FILE, LOCAL_FILE, EnvironmentSettings, LocalSettings, Made, Settings, read_local
from slipway.ids import check_name, new_id
from slipway.ledger.entries import kind_of
from slipway.ledger.naming import kinds
from slipway.ledger.whole_files import write_whole
from slipway.records.projects import Project
from slipway.schema import durations

__all__ = ["KEEP", "create", "destroy", "goes_at", "keep", "last_used", "look_after", "note_use", "restore", "serving"]

KEEP = timedelta(days=30)
"""How long a destroyed environment that held something can be taken back."""

_WARNING = timedelta(days=2)
_MARK = "on-demand"
"""The file in a store that says which environment it was made for; its time says when that was last used."""
_PLACES = frozenset({"store", "ledger", "blobs", "server", "online"})
_NEVER = "never"
_HEAD = f"""# Environments that `slipway env create` made. Written by slipway; {FILE} is yours.
# It belongs to this checkout: leave it out of version control.
"""


def create(
    home: Path, settings: Settings, name: str, *, by: str, expires: str = "7d", like: str = "dev"
) -> EnvironmentSettings:
    """Make an environment with a store of its own, empty, beside the project's others.

    Args:
        home: The project's folder.
        settings: What its files say.
        name: What it shall be called.
        by: Who makes it.
        expires: For how long it may be unused: "12h", "7d"; "never".
        like: The environment whose settings it takes over, but for places: store, ledger, blobs, server, online store.

    Raises:
        InvalidInput: The name or the duration does not fit.
        InvalidSetting: An environment variable gives every environment the same store or server.
        Conflict: There is one of this name, or something lies where its store would.
        NotFound: There is no environment to take settings from.
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
        told = Made(like=like, made_at=datetime.now(UTC), made_by=by, expires=expires)
        environments, others = local.environments | {name: made}, local.made | {name: told}
        _write(home, LocalSettings(environments=environments, made=others))
    return made


def destroy(
    home: Path, settings: Settings, name: str, *, stops: bool = False, is_final: bool = False
) -> datetime | None:
    """Take an environment away: what it holds goes into the trash, an empty one is gone at once.

    Args:
        home: The project's folder.
        settings: What its files say.
        name: Which.
        stops: Whether endpoints that serve are stopped; otherwise they are a reason to refuse.
        is_final: Whether nothing is kept, not even what is in the trash already.

    Returns:
        Until when it can be taken back, None where it is gone.

    Raises:
        NotFound: There is no such environment.
        InvalidInput: slipway.toml declares it.
        Conflict: Endpoints serve, or its folder is not the one that was made for it.
    """
    with _alone(home):
        local = read_local(home)
        told = _made(local, settings, name)
        store = home / local.environments[name].store
        if told.destroyed_at is None and store.exists():
            _check_mark(store, name)
            running = serving(store)
            if running and not stops:
                raise Conflict(
                    f"In the environment {name!r} {_listed(running)}.",
                    why="Whoever asks there would get no answer any more.",
                    fix=f"Stop them with it: slipway env destroy {name} --stop-endpoints",
                )
            _stop(store)
        if is_final or (told.destroyed_at is None and _is_empty(store)):
            _forget(home, local, name)
            return None
        told = msgspec.structs.replace(told, destroyed_at=told.destroyed_at or datetime.now(UTC))
        _write(home, msgspec.structs.replace(local, made=local.made | {name: told}))
        _move(store, _trash(store))
        assert told.destroyed_at is not None
        return told.destroyed_at + KEEP


def restore(home: Path, settings: Settings, name: str) -> None:
    """Take an environment out of the trash.

    Raises:
        NotFound: There is none of this name.
        InvalidInput: slipway.toml declares it, or it is not in the trash.
    """
    with _alone(home):
        local = read_local(home)
        told = _made(local, settings, name)
        if told.destroyed_at is None:
            raise InvalidInput(f"The environment {name!r} is not in the trash.", fix="See `slipway env list`.")
        store = home / local.environments[name].store
        _move(_trash(store), store)
        note_use(store)
        told = msgspec.structs.replace(told, destroyed_at=None, warned_at=None)
        _write(home, msgspec.structs.replace(local, made=local.made | {name: told}))


def keep(home: Path, settings: Settings, name: str, expires: str) -> Made:
    """Let an environment be unused for another time than it was made for.

    Raises:
        NotFound: There is none of this name.
        InvalidInput: slipway.toml declares it, or the duration does not fit.
    """
    _check_expires(expires)
    with _alone(home):
        local = read_local(home)
        told = msgspec.structs.replace(_made(local, settings, name), expires=expires, warned_at=None)
        _write(home, msgspec.structs.replace(local, made=local.made | {name: told}))
    return told


def look_after(home: Path, say: Callable[[str], None]) -> None:
    """Warn of what nobody has used for long, and take away what was warned of long ago. It costs a file's look-up."""
    if not (home / LOCAL_FILE).exists():
        return
    now = datetime.now(UTC)
    with _alone(home):
        for name, told in read_local(home).made.items():
            local = read_local(home)
            store = home / local.environments[name].store
            if told.destroyed_at is not None:
                if now >= told.destroyed_at + KEEP:
                    _forget(home, local, name)
                else:
                    _move(store, _trash(store))  # where a kill came between
            elif (due := goes_at(store, told)) is not None and now >= due and not _serves(store):
                _unused(home, local, name, say)


def note_use(store: Path) -> None:
    """An environment is used now; for a store that was not made on demand this does nothing."""
    if (store / _MARK).exists():
        os.utime(store / _MARK)


def last_used(store: Path) -> datetime | None:
    """When an environment was last used; None where nobody noted it."""
    try:
        return datetime.fromtimestamp((store / _MARK).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def goes_at(store: Path, told: Made) -> datetime | None:
    """When an environment has been unused for as long as it was made for; None for never."""
    used = last_used(store)
    return None if told.expires == _NEVER or used is None else used + _length(told.expires)


def serving(store: Path) -> tuple[str, ...]:
    """The endpoints whose processes run in a store, as "project/endpoint"."""
    launcher = plugins.load("launcher", "process")()
    return tuple(
        f"{folder.parent.name}/{folder.name}"
        for folder in sorted((store / "endpoints").glob("*/*"))
        if folder.is_dir() and launcher.status(folder) is not None
    )


def _own_places(name: str) -> dict[str, str]:
    return {**dict.fromkeys(_PLACES, ""), "store": f".slipway-{name}"}


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
    if store.exists() and not (store / _MARK).is_file():
        raise Conflict(
            f"The store of {name!r} would lie in {store}, where something lies already.",
            fix="Move it away, or give the environment another name.",
        )
    store.mkdir(exist_ok=True)
    (store / ".gitignore").write_text("*\n")
    write_whole(store / _MARK, f"{name}\n".encode())


def _check_mark(store: Path, name: str) -> None:
    try:
        marked = (store / _MARK).read_text().strip()
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


def _unused(home: Path, local: LocalSettings, name: str, say: Callable[[str], None]) -> None:
    told, now = local.made[name], datetime.now(UTC)
    store = home / local.environments[name].store
    warning = min(_WARNING, _length(told.expires))
    warned = told.warned_at
    if warned is None or warned < (last_used(store) or warned):
        warned = now
        _write(home, msgspec.structs.replace(local, made=local.made | {name: _warned(told, now)}))
    if now < warned + warning:
        say(
            f"The environment {name!r} was last used on {last_used(store):%Y-%m-%d}. It goes into the trash after "
            f"{warned + warning:%Y-%m-%d %H:%M} UTC, unless somebody uses it: slipway env keep {name} --expires 30d"
        )
        return
    if _is_empty(store):
        _forget(home, local, name)
        say(f"The environment {name!r}, which was empty and unused, is gone.")
        return
    told = msgspec.structs.replace(told, destroyed_at=now)
    _write(home, msgspec.structs.replace(local, made=local.made | {name: told}))
    _move(store, _trash(store))
    say(
        f"The environment {name!r} was not used and is in the trash until {now + KEEP:%Y-%m-%d}: slipway env restore {name}"
    )


def _warned(told: Made, at: datetime) -> Made:
    return msgspec.structs.replace(told, warned_at=at)


def _serves(store: Path) -> bool:
    """Whether an endpoint answers there: then it is in use, whoever types commands."""
    if found := bool(serving(store)):
        note_use(store)
    return found


def _stop(store: Path) -> None:
    launcher = plugins.load("launcher", "process")()
    for name in serving(store):
        launcher.stop(store / "endpoints" / name)


def _is_empty(store: Path) -> bool:
    """Whether nobody did anything in an environment: it was opened at most."""
    if not is_store(store):
        return True
    if any(path.is_file() for path in (store / "run-logs").rglob("*")):  # a run that the ledger does not know yet
        return False
    with closing(open_ledger(store)) as ledger, ledger.read() as tx:
        return not any(tx.find(kind, limit=1) for kind in kinds() if kind != kind_of(Project))


def _trash(store: Path) -> Path:
    return store.with_name(f"{store.name}.destroyed")


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.rename(target)


def _forget(home: Path, local: LocalSettings, name: str) -> None:
    """Remove an environment and what is said of it, in an order that a kill cannot make wrong."""
    store = home / local.environments[name].store
    for folder in (store, _trash(store)):
        if folder.exists():
            going = folder.with_name(f"{folder.name}.{new_id()}.going")
            folder.rename(going)
    environments = {key: value for key, value in local.environments.items() if key != name}
    others = {key: value for key, value in local.made.items() if key != name}
    _write(home, LocalSettings(environments=environments, made=others))
    for left in home.glob(f"{store.name}*.going"):
        shutil.rmtree(left)


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
