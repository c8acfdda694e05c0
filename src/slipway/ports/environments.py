"""Interpreters' environments, made from locks: one folder a lock, kept and used again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from slipway.code.libraries import LOCK_FILE
from slipway.records.locks import KeptEnvironment, Lock, LockedPackage, MadeEnvironment

__all__ = ["HELD_FILE", "LOCK_FILE", "Environments", "OpenEnvironments"]

HELD_FILE = ".held"
"""Beside an environment's folder, with its name before it: who uses the environment holds a shared `flock` on it, and
its time says when it was last asked for."""


class Environments(Protocol):
    """Makes environments from locks and finds them again; the lock's digest is the environment's name.

    Guarantees: many processes may call every verb at once; an environment is made once, by one of them; after a kill -9
    at any moment one is there whole or not at all; what it holds was compared with the lock before anybody sees it.
    An environment is never changed: whoever uses it writes nothing into it.
    """

    @property
    def about(self) -> str:
        """The program that makes them, its version, and what it was told of the network; for a person to read."""
        ...

    def make(self, lock: Lock, wheels: Callable[[str], bytes], *, is_checked: bool = False) -> MadeEnvironment:
        """The environment of a lock: made now, or found. Its last use is noted.

        Args:
            lock: What must be in it.
            wheels: Gives the bytes of a kept wheel by their blob digest.
            is_checked: Whether one that is found is compared file by file with what was installed; what was altered is
                set aside and made anew. Otherwise only names and sizes are looked at.

        Raises:
            NotFound: A package, or the Python version, cannot be found from here.
            InvalidInput: The lock was made for another kind of machine.
            Corrupt: What was found is not what the lock says.
            BackendError: The file system or the installer failed.
        """
        ...

    def fill(self, lock: Lock, wheels: Callable[[str], bytes], folder: Path, machine: str) -> None:
        """Install what a lock names into a plain folder, for a machine that need not be this one; wheels only.

        Args:
            lock: What; its platform and Python are those of the machine.
            wheels: Gives the bytes of a kept wheel by its digest.
            folder: Made for it.
            machine: The machine, as the installer calls it.

        Raises:
            NotFound: A package has no wheel there, or cannot be reached from here.
            Corrupt: What was found is not what the lock says.
            BackendError: The file system failed.
        """
        ...

    def locked(self, path: Path) -> tuple[LockedPackage, ...]:
        """What a project's lock file wants installed to run the project; see `slipway.code.project_locks.FILES`.

        Raises:
            InvalidInput: The file cannot be read, or is out of step with the project.
        """
        ...

    def with_hashes(self, packages: Sequence[LockedPackage], python: str) -> str:
        """Compiled requirements of exactly these packages, with the hashes that an index has for them. It is asked now.

        Args:
            packages: What to name.
            python: The version of Python that they are for.

        Raises:
            NotFound: The index has not all of them, or cannot be reached.
        """
        ...

    def unresolved(
        self, packages: Sequence[LockedPackage], platform: str, python: str, *, ask_index: bool = False
    ) -> tuple[str, bool]:
        """Whether packages can be installed on another machine, as wheels; nothing is installed.

        Args:
            packages: Exactly these.
            platform: The machine, as the installer calls it; this one's when empty.
            python: Its version of Python.
            ask_index: Whether an index may be asked; otherwise only what is kept on this machine counts.

        Returns:
            What stands against it in words, "" for nothing; and whether that is only what cannot be told from here.
        """
        ...

    def kept(self) -> tuple[KeptEnvironment, ...]:
        """The environments that are there, the one that was used last first."""
        ...

    def drop(self, lock: str, *, unused_s: float = 0.0) -> bool:
        """Remove an environment, unless a process uses it or it was asked for within the last seconds.

        Args:
            lock: The lock's digest.
            unused_s: For how long nobody may have asked for it.

        Returns:
            Whether it is gone.

        Raises:
            BackendError: The file system failed.
        """
        ...


class OpenEnvironments(Protocol):
    """Opens what makes the environments of a store's folder."""

    def __call__(self, root: Path, say: Callable[[str], None]) -> Environments:
        """Open it.

        Raises:
            MissingExtra: What makes them is not installed.
        """
        ...
