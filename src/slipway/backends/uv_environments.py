"""Environments by uv: a virtual environment a lock, below one folder of the store.

What is needed is taken from where it is nearest: wheels that are kept with the lock, then uv's cache and the wheel
folders that uv knows of (`UV_FIND_LINKS`), then what this interpreter has installed, and only then an index. Whatever
the place, the result is compared with the lock before anybody sees it.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec

from slipway.code import project_locks
from slipway.code import wheels as packing
from slipway.code.libraries import source_of
from slipway.errors import BackendError, Corrupt, InvalidInput, MissingExtra, NotFound, SlipwayError
from slipway.hashing import digest
from slipway.ids import new_id
from slipway.ports.environments import HELD_FILE, LOCK_FILE
from slipway.records.locks import KeptEnvironment, Lock, LockedPackage, MadeEnvironment

__all__ = ["UvEnvironments"]

_MADE_FILE = "slipway-made.json"
_TOLD = 1500


class _Made(msgspec.Struct, frozen=True):
    """What was installed: the interpreter's version, and the content of each distribution."""

    python: str
    contents: dict[str, str]


class UvEnvironments:
    """Keeps environments below a folder.

    Args:
        folder: Made when it is missing.
        say: Receives lines of progress.
        uv: The program; the one of the package `uv`, or the first on the path, when empty.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None, *, uv: str = "") -> None:
        self._folder = folder.resolve()
        self._say = say
        self._uv = uv or _uv()

    @property
    def about(self) -> str:
        """The program and its version, and what it was told of the network."""
        said = self._run("--version").stdout.split()
        offline = ", offline: UV_OFFLINE is set" if os.environ.get("UV_OFFLINE") else ""
        folders = f", wheel folders: {there}" if (there := os.environ.get("UV_FIND_LINKS")) else ""
        return f"uv {said[1] if len(said) > 1 else '?'} at {self._uv}{offline}{folders}"

    def make(self, lock: Lock, wheels: Callable[[str], bytes], *, is_checked: bool = False) -> MadeEnvironment:
        """See `Environments.make`."""
        if lock.platform != sysconfig.get_platform():
            raise InvalidInput(
                f"The lock {lock.digest[:12]} was made on {lock.platform}, this machine is {sysconfig.get_platform()}.",
                why="Compiled packages of one kind of machine do not run on another.",
                fix="Make its environment on such a machine.",
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(self._folder / f".{lock.digest}.lock"):
                self._clean(lock.digest)
                found = self._found(lock, is_checked=is_checked)
                made = found or self._build(lock, wheels)
                held = self._folder / f"{lock.digest}{HELD_FILE}"
                held.touch()
                os.utime(held)
        except SlipwayError:
            raise
        except OSError as problem:
            raise BackendError(
                f"The environment of the lock {lock.digest[:12]} cannot be made in {self._folder}: {problem}.",
                fix="Check that the disk has space and that the folder may be written.",
            ) from problem
        folder = self._folder / lock.digest
        return MadeEnvironment(
            lock=lock.digest,
            folder=str(folder),
            python=str(folder / "bin" / "python"),
            version=made.python,
            is_new=found is None,
        )

    def fill(self, lock: Lock, wheels: Callable[[str], bytes], folder: Path, machine: str) -> None:
        """See `Environments.fill`."""
        part = folder.with_name(f".{folder.name}.part")
        stock = part.with_suffix(".wheels.part")
        stock.mkdir(parents=True)
        # Not --target: what lies outside of packages, as scripts do, would become part of their content there.
        where = ("--prefix", str(part), "--python-platform", machine, "--python-version", lock.python)
        try:
            self._install(lock, wheels, stock, *where)
            _compared(lock, _site(part))
            _site(part).rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(stock, ignore_errors=True)

    def locked(self, path: Path) -> tuple[LockedPackage, ...]:
        """See `Environments.locked`."""
        pins = self._exported(path) if path.name == "uv.lock" else project_locks.pins(path)
        return tuple(LockedPackage(**pin._asdict()) for pin in pins)

    def with_hashes(self, packages: Sequence[LockedPackage], python: str) -> str:
        """See `Environments.with_hashes`."""
        wanted = "".join(f"{one.name}=={one.version}\n" for one in packages)
        asked = ("pip", "compile", "--generate-hashes", "--no-deps", "--no-header", "--no-annotate", "--quiet")
        done = self._run(*asked, "--no-emit-index-url", "--python-version", python, "-", given=wanted)
        if done.returncode:
            raise NotFound(
                f"The hashes of {len(packages)} packages cannot be had. uv says: {_said(done)}",
                why="They are an index's, which must be asked once; nobody here knows them.",
                fix="Let uv reach an index that has these packages, then do it again.",
            )
        return done.stdout

    def unresolved(
        self, packages: Sequence[LockedPackage], platform: str, python: str, *, ask_index: bool = False
    ) -> tuple[str, bool]:
        """See `Environments.unresolved`."""
        wanted = "".join(f"{one.name}=={one.version}\n" for one in packages)
        target = (*(("--python-platform", platform) if platform else ()), "--python-version", python)
        fixed = ("--no-deps", "--only-binary", ":all:", "--quiet", "--no-header", "--no-annotate")
        done = self._run("pip", "compile", *fixed, *target, *(() if ask_index else ("--offline",)), "-", given=wanted)
        if done.returncode == 0:
            return "", False
        said = _said(done)
        return said, not ask_index and any(word in said.lower() for word in ("network", "offline", "cache"))

    def _exported(self, path: Path) -> tuple[project_locks.Pin, ...]:
        """What the project itself needs of all that its `uv.lock` names: no development groups."""
        asked = (
            "export",
            "--frozen",
            "--no-dev",
            "--no-emit-project",
            "--no-emit-local",
            "--no-header",
            "--no-annotate",
        )
        done = self._run(*asked, "--offline", "--format", "requirements.txt", "--project", str(path.parent))
        if done.returncode:
            raise InvalidInput(
                f"The lock file {path} cannot be read by uv: {_said(done)}",
                fix="Make it anew, beside pyproject.toml: uv lock",
            )
        return project_locks.pins_in(path, done.stdout)

    def kept(self) -> tuple[KeptEnvironment, ...]:
        """See `Environments.kept`."""
        found = []
        for marker in self._folder.glob(f"*/{LOCK_FILE}"):
            folder = marker.parent
            with suppress(OSError, msgspec.DecodeError):  # dropped meanwhile, or set aside because it was altered
                made = msgspec.json.decode((folder / _MADE_FILE).read_bytes(), type=_Made)
                if len(folder.name) != 64:
                    continue
                found.append(
                    KeptEnvironment(
                        lock=folder.name,
                        version=made.python,
                        packages=len(made.contents),
                        size_bytes=sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()),
                        used_at=(self._folder / f"{folder.name}{HELD_FILE}").stat().st_mtime,
                    )
                )
        return tuple(sorted(found, key=lambda one: -one.used_at))

    def drop(self, lock: str, *, unused_s: float = 0.0) -> bool:
        """See `Environments.drop`."""
        folder, held = self._folder / lock, self._folder / f"{lock}{HELD_FILE}"
        try:
            if not folder.exists():
                return True
            with _locked(self._folder / f".{lock}.lock"), held.open("a") as file:
                if unused_s and time.time() - held.stat().st_mtime < unused_s:
                    return False
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                if folder.exists():
                    folder.rename(self._part(lock))  # gone whole; the rest is cleaning
                held.unlink()
                for aside in self._folder.glob(f"{lock}.altered-*"):
                    aside.rename(self._part(lock))
                self._clean(lock)
        except OSError as problem:
            raise BackendError(
                f"The environment {lock[:12]} cannot be removed from {self._folder}: {problem}."
            ) from problem
        return True

    def _part(self, lock: str) -> Path:
        return self._folder / f".{lock}.{new_id()}.part"

    def _clean(self, lock: str) -> None:
        """Remove what killed processes left of an environment. The lock on its name is held."""
        for left in self._folder.glob(f".{lock}.*.part"):
            shutil.rmtree(left, ignore_errors=True)  # a child of a killed process may still write: it goes next time

    def _found(self, lock: Lock, *, is_checked: bool) -> _Made | None:
        folder = self._folder / lock.digest
        if not folder.exists():
            return None
        fault = _fault(folder, lock, is_checked=is_checked)
        if not fault:
            return msgspec.json.decode((folder / _MADE_FILE).read_bytes(), type=_Made)
        aside = self._folder / f"{lock.digest}.altered-{new_id()}"
        folder.rename(aside)
        self._say(f"The environment {lock.digest[:12]} was altered ({fault}): set aside as {aside.name}, made anew.")
        return None

    def _build(self, lock: Lock, wheels: Callable[[str], bytes]) -> _Made:
        part = self._part(lock.digest)
        stock = part.with_suffix(".wheels.part")
        try:
            self._say(
                f"Building the environment {lock.digest[:12]}: Python {lock.python}, {len(lock.packages)} packages."
            )
            self._venv(lock, part)
            stock.mkdir()
            self._install(lock, wheels, stock, "--python", str(part / "bin" / "python"), "--compile-bytecode")
            made = _Made(_version(part), _compared(lock, _site(part)))
            fits = self._run("pip", "check", "--python", str(part / "bin" / "python"))
            if fits.returncode:  # the lock says so, and it may be meant: nobody is stopped
                self._say(f"The packages do not fit each other. uv says: {_said(fits)}")
            (part / _MADE_FILE).write_bytes(msgspec.json.encode(made))
            (part / LOCK_FILE).write_bytes(lock.encoded)
            part.rename(self._folder / lock.digest)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(stock, ignore_errors=True)
        return made

    def _venv(self, lock: Lock, part: Path) -> None:
        """An empty environment of the lock's very Python, or else of the nearest one of its minor version."""
        minor, own = ".".join(lock.python.split(".")[:2]), platform.python_version()
        is_own_minor = own.startswith(f"{minor}.")
        asked = ("venv", "--no-project", "--relocatable", "--no-python-downloads", "--python")
        wanted = sys.executable if lock.python == own else lock.python
        done = self._run(*asked, wanted, str(part))
        if done.returncode and wanted != sys.executable:
            done = self._run(*asked, sys.executable if is_own_minor else minor, str(part))
            if done.returncode == 0:
                self._say(f"Python {lock.python} is not on this machine: {_version(part)} is taken in its place.")
        if done.returncode == 0:
            return
        if not is_own_minor:
            raise NotFound(
                f"The lock {lock.digest[:12]} wants Python {minor}, which is not on this machine; here is {own}.",
                fix=f"Install it: uv python install {minor}; or your system's package of it.",
            )
        raise BackendError(f"uv could not make an environment in {self._folder}: {_said(done)}")

    def _kept(self, package: LockedPackage, wheels: Callable[[str], bytes], stock: Path) -> str:
        """The requirement of a package whose wheel is kept, "" for others."""
        if not package.wheel:
            return ""
        data = wheels(package.wheel)
        if digest(data) != package.wheel:
            raise Corrupt(f"The kept wheel of {package.name} {package.version} is damaged.")
        return _requirement(package, stock / package.file, data)

    def _install(self, lock: Lock, wheels: Callable[[str], bytes], stock: Path, *where: str) -> None:
        kept = {one.name: self._kept(one, wheels, stock) for one in lock.packages}
        plain = {one.name: kept[one.name] or _pin(one) for one in lock.packages}
        if not plain:
            return
        done = self._try(stock, plain, *where, "--offline")
        if done.returncode:
            is_here = lock.platform == sysconfig.get_platform() and _minor(lock.python) == _minor(
                platform.python_version()
            )
            near = [one for one in lock.packages if not one.wheel] if is_here else []
            own = {one.name: line for one in near if (line := _from_here(one, stock))}
            lines = plain | own
            if own:
                self._say(f"{len(own)} of them are taken from this interpreter, {sys.prefix}.")
                done = self._try(stock, lines, *where, "--offline")
            if done.returncode and not os.environ.get("UV_OFFLINE"):
                self._say(
                    f"{len(lines) - len(own) - sum(map(bool, kept.values()))} of them are asked for at the index."
                )
                done = self._try(stock, lines, *where)
        if done.returncode:
            raise _refusal(lock, done)

    def _try(self, stock: Path, lines: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
        wanted = stock / "requirements.txt"
        wanted.write_text("\n".join(lines.values()) + "\n")
        fixed = ("--no-deps", "--no-build", "--link-mode", "copy")
        return self._run("pip", "install", "--requirements", str(wanted), *fixed, *options)

    def _run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        ours = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_PROJECT"}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        command = [self._uv, *words, "--no-progress", "--color", "never"]
        try:
            return subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
        except OSError as problem:
            raise BackendError(
                f"uv cannot be started as {self._uv}: {problem}.", fix="Install it: pip install 'slipway[envs]'"
            ) from problem


def _uv() -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        if found := shutil.which("uv"):
            return found
    raise MissingExtra(
        "Environments are made by uv, which is not installed.", fix="Install it: pip install 'slipway[envs]'"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Be the only one that makes or drops an environment of a name."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pin(package: LockedPackage) -> str:
    marker = f" ; {package.marker}" if package.marker else ""
    return " ".join([f"{package.name}=={package.version}{marker}", *(f"--hash={one}" for one in package.hashes)])


def _requirement(package: LockedPackage, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    marker = f" ; {package.marker}" if package.marker else ""
    return f"{package.name} @ {path.as_uri()}{marker} --hash=sha256:{hashlib.sha256(data).hexdigest()}"


def _from_here(package: LockedPackage, stock: Path) -> str:
    """The requirement of a package that this interpreter has with the very same content, "" where it has not.

    Hashes of an index's files cannot be compared with what is installed; a lock without any names a version only. What
    came from no index is not meant by a version: its code changes without it.
    """
    found = packing.find(package.name)
    if found is None or packing.about(found).version != package.version:
        return ""
    if packing.content_of(found) != package.content if package.content else (package.hashes or source_of(found)):
        return ""
    try:
        name, data = packing.pack(found)
    except InvalidInput:  # a file of it was altered: then it is no better than none
        return ""
    return _requirement(package, stock / name, data)


def _site(environment: Path) -> Path:
    return next(environment.glob("lib/python*/site-packages"))


def _installed(site: Path) -> dict[str, Distribution]:
    return {packing.normal(one.name): one for one in distributions(path=[str(site)])}


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _version(environment: Path) -> str:
    done = subprocess.run(
        [environment / "bin" / "python", "-I", "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackendError(f"The interpreter of a new environment does not start: {done.stderr.strip()[-_TOLD:]}")
    return done.stdout.strip()


def _compared(lock: Lock, site: Path) -> dict[str, str]:
    """The content of each distribution in a folder, once all are what the lock says.

    Raises:
        Corrupt: One is not.
    """
    installed = _installed(site)
    wanted = {one.name: one for one in lock.packages}
    contents = {name: packing.content_of(one) for name, one in installed.items()}
    for name, package in wanted.items():
        if name not in installed:
            if package.marker:
                continue
            raise Corrupt(f"{name} {package.version} of the lock {lock.digest[:12]} was not installed by uv.")
        if package.content and contents[name] != package.content:
            raise Corrupt(
                f"{name} {package.version} is not what the lock {lock.digest[:12]} says: its files are others.",
                why="An index may have several files of one version, and a folder of wheels may hold anything.",
                fix="Put the wheel that was used then into a folder, and name it: UV_FIND_LINKS=FOLDER",
            )
    return contents


def _fault(environment: Path, lock: Lock, *, is_checked: bool) -> str:
    """What is wrong with an environment that was made before, "" for nothing."""
    try:
        if (environment / LOCK_FILE).read_bytes() != lock.encoded:
            return f"{LOCK_FILE} is another"
        made = msgspec.json.decode((environment / _MADE_FILE).read_bytes(), type=_Made)
        if not (environment / "bin" / "python").exists():
            return "its Python is gone from this machine"
        installed = _installed(_site(environment))
        if {name: packing.content_of(one) for name, one in installed.items()} != made.contents:
            return "its distributions are others"
        return _files_fault(environment, installed, is_checked=is_checked)
    except (OSError, StopIteration, msgspec.DecodeError) as problem:
        return str(problem)


def _files_fault(environment: Path, installed: dict[str, Distribution], *, is_checked: bool) -> str:
    site = _site(environment)
    known = {"_virtualenv.pth", "_virtualenv.py"}
    for distribution in installed.values():
        if name := packing.altered(distribution, is_read=is_checked):
            return name
        known.update(packing.files_of(distribution))
    for place, folders, names in os.walk(site):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            here = Path(place, name).relative_to(site).as_posix()
            if here not in known and not name.endswith(".pyc"):
                return f"{here} was added"
    return ""


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What uv said, on one line."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("Using Python"))[-_TOLD:]


def _refusal(lock: Lock, done: subprocess.CompletedProcess[str]) -> SlipwayError:
    said = _said(done)
    if "No space left" in said or "Permission denied" in said:
        return BackendError(f"uv could not install the lock {lock.digest[:12]}: {said}")
    if "Hash mismatch" in said or "hash mismatch" in said:
        return Corrupt(
            f"What was found is not what the lock {lock.digest[:12]} says: {said}",
            fix="Put the wheel that was used then into a folder, and name it: UV_FIND_LINKS=FOLDER",
        )
    return NotFound(
        f"The environment of the lock {lock.digest[:12]} cannot be made from what can be reached here. uv says: {said}",
        why="A package was looked for with the lock, in uv's cache and wheel folders, in this interpreter, and "
        + ("not at an index, because UV_OFFLINE is set." if os.environ.get("UV_OFFLINE") else "at the index."),
        fix="Put its wheel into a folder and name it: UV_FIND_LINKS=FOLDER; or let uv reach an index that has it.",
    )
