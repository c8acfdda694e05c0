"""A bundle's lock on another machine: which of its packages have a wheel there, and which do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from slipway.errors import InvalidInput, near
from slipway.ledger import locks
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock, LockedPackage
from slipway.records.models import Bundle, ModelVersion
from slipway.records.runs import Environment

__all__ = ["PLATFORMS", "Resolved", "check_target", "lock_in", "machine_of", "packages_of", "resolve"]

PLATFORMS: dict[str, tuple[str, str]] = {
    "linux/amd64": ("x86_64-manylinux_2_36", "linux-x86_64"),
    "linux/arm64": ("aarch64-manylinux_2_36", "linux-aarch64"),
}
"""What images call a platform -> what the installer calls it, and what a lock made there says: Linux with glibc 2.36 or newer, as Debian 12 has it."""


class Resolved(Struct, frozen=True, kw_only=True):
    """Whether a lock can be installed on a named machine.

    Args:
        model: The model's name.
        number: The version's number.
        bundle: The bundle's digest.
        platform: The machine, as it was asked for.
        python: Its version of Python.
        checked: How many packages were looked at.
        faults: What stands against it, in words: the first package that has no wheel there by name; () for nothing.
        unknown: Why nobody can tell, "" where somebody can.
        lock_python: The version of Python of the lock.
    """

    model: str
    number: int
    bundle: str
    platform: str
    python: str
    checked: int
    faults: tuple[str, ...]
    unknown: str
    lock_python: str

    @property
    def holds(self) -> bool:
        """Whether every package has a wheel there."""
        return not self.faults and not self.unknown


def check_target(
    workspace: Workspace, version: ModelVersion, bundle: Bundle, platform: str, python: str = ""
) -> Resolved:
    """Whether the lock of a version's bundle can be installed on a named machine; the index is asked.

    Args:
        workspace: Its store.
        version: The version.
        bundle: Its manifest.
        platform: "linux/arm64", or a machine as uv calls it.
        python: Its version of Python; the lock's when left out.

    Raises:
        MissingExtra: uv is not installed.
        InvalidInput: The bundle names no lock.
    """
    environment = lock_in(bundle)
    packages = packages_of(workspace, environment)
    python = python or ".".join(environment.python.split(".")[:2])
    machine = PLATFORMS.get(platform, (platform, ""))[0]
    faults, unknown = resolve(workspace, packages, machine, python, ask_index=True, is_named=True)
    return Resolved(
        model=version.name,
        number=version.number,
        bundle=version.bundle,
        platform=platform,
        python=python,
        checked=len(packages),
        faults=tuple(faults),
        unknown="" if faults else unknown,
        lock_python=environment.python,
    )


def machine_of(platform: str) -> tuple[str, str]:
    """What the installer and a lock call the platform of an image.

    Raises:
        InvalidInput: Images are not made for it.
    """
    if platform in PLATFORMS:
        return PLATFORMS[platform]
    raise InvalidInput(
        f"No image is made for {platform!r}.", fix=near(platform, PLATFORMS, what="platforms"), field="platform"
    )


def lock_in(bundle: Bundle) -> Environment:
    """The environment that a bundle names.

    Raises:
        InvalidInput: It names none.
    """
    if bundle.environment is not None:
        return bundle.environment
    raise InvalidInput(
        f"The bundle of {bundle.model!r} names no lock.",
        why="It was packaged without one, so nobody knows what it needs.",
        fix="Train it again, and take that version: slipway run PIPELINE",
    )


def packages_of(workspace: Workspace, environment: Environment) -> tuple[LockedPackage, ...]:
    """The packages of a bundle's environment: of its lock, or as its manifest names them.

    Raises:
        NotFound: The lock is gone.
    """
    lock: Lock | None = locks.lock_of(workspace.blobs, environment)
    if lock is not None:
        return lock.packages
    pairs = (pinned.partition("==") for pinned in environment.lock)
    return tuple(LockedPackage(name=name, version=version) for name, _, version in pairs)


def resolve(
    workspace: Workspace,
    packages: Sequence[LockedPackage],
    machine: str,
    python: str,
    *,
    ask_index: bool,
    is_named: bool = False,
) -> tuple[list[str], str]:
    """What stands against packages on a machine, in words, and why nobody can tell; [] and "" where nothing does.

    Args:
        workspace: Its settings say what resolves.
        packages: Exactly these.
        machine: As uv calls it; this one when empty.
        python: Its version of Python.
        ask_index: Whether an index may be asked.
        is_named: Whether to look for the first package without a wheel, and say it first.

    Raises:
        MissingExtra: uv is not installed.
    """
    own = [one for one in packages if one.wheel or one.origin]
    faults = [
        f"{one.name} {one.version} is kept as {one.file}, for this kind of machine only"
        for one in own
        if machine and not one.file.endswith("-none-any.whl")
    ]
    environments, others = isolation.opened(workspace), [one for one in packages if one not in own]

    def unresolved(some: Sequence[LockedPackage]) -> tuple[str, bool]:
        return environments.unresolved(some, machine, python, ask_index=ask_index)

    said, is_unknown = unresolved(others)
    if said and is_unknown:
        return faults, said
    if said and is_named:
        first, said = _first(others, said, unresolved)
        faults.append(f"{first.name} {first.version} has no wheel there: {said}")
    elif said:
        faults.append(said)
    return faults, ""


def _first(
    packages: Sequence[LockedPackage], said: str, unresolved: Callable[[Sequence[LockedPackage]], tuple[str, bool]]
) -> tuple[LockedPackage, str]:
    """The first package that cannot be had, and what is said of it: each is looked at by itself, none needs another."""
    low, high = 0, len(packages)  # the first `low` can be had, the first `high` cannot
    while high - low > 1:
        middle = (low + high) // 2
        found = unresolved(packages[low:middle])[0]
        if found:
            high, said = middle, found
        else:
            low = middle
    return packages[low], unresolved(packages[low:high])[0] or said
