"""Every error that Slipway raises on purpose.

An error is a sentence: what was given or found, why that cannot stand, what to do next.

    SlipwayError
    ├── UserError             something given, declared or configured is wrong: yours to mend
    │   ├── InvalidInput      a value, file or request does not fit          (also ValueError)
    │   ├── InvalidDeclaration  a decorator or declaration does not fit      (also TypeError)
    │   ├── InvalidSetting    slipway.toml or an environment variable        (also ValueError)
    │   └── MissingExtra      an optional dependency is not installed        (also ImportError)
    ├── StepFailed            your step raised; its own traceback is kept as the cause
    ├── RunStopped            a watched metric says that going on is no use; the run ends as finished, with the reason
    ├── NotFound              a name or id that the ledger does not know     (also LookupError)
    ├── Conflict              somebody else was first, or it exists already
    ├── Denied                the actor may not do this                      (also PermissionError)
    │   └── Unauthenticated   nobody knows who asks
    ├── GateRefused           a gate said no; the verdict is on the error
    ├── Corrupt               stored bytes are not what their digest or signature says
    └── BackendError          a store, file system or server failed          (also OSError)
        ├── NoAnswer          a model that is judged did not answer in time
        └── Unavailable       the same, but trying again later is sensible

HTTP numbers and exit codes are mapped at the doors, never here.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BackendError",
    "Conflict",
    "Corrupt",
    "Denied",
    "GateRefused",
    "InvalidDeclaration",
    "InvalidInput",
    "InvalidSetting",
    "MissingExtra",
    "NoAnswer",
    "NotFound",
    "RunStopped",
    "SlipwayError",
    "StepFailed",
    "Unauthenticated",
    "Unavailable",
    "UserError",
    "near",
]


class SlipwayError(Exception):
    """The base of all errors that Slipway raises on purpose.

    Args:
        what: What was given or found, naming the value.
        why: Why that cannot stand, or what was expected.
        fix: What to do or type next.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    @property
    def code(self) -> str:
        """The stable name of this kind of error, as HTTP answers and `--json` carry it."""
        return type(self).__name__

    def __str__(self) -> str:
        """One line a part: what, why, fix."""
        return " ".join(part for part in (self.what, self.why, self.fix) if part)


class UserError(SlipwayError):
    """Something given, declared or configured is wrong."""


class InvalidInput(UserError, ValueError):
    """A value, file or request does not fit.

    Args:
        what: See `SlipwayError`.
        why: See `SlipwayError`.
        fix: See `SlipwayError`.
        field: The name of the offending field, where there is one.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", field: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.field = field


class InvalidDeclaration(UserError, TypeError):
    """A decorator or declaration in the user's code does not fit."""


class InvalidSetting(UserError, ValueError):
    """A key or value of slipway.toml, or of an environment variable, does not fit."""


class MissingExtra(UserError, ImportError):
    """An optional dependency is not installed."""


class StepFailed(SlipwayError):
    """The user's step raised. `__cause__` is the original exception.

    Args:
        what: See `SlipwayError`.
        step: The step's name.
        run_id: The run in which it failed, "" outside a run.
        trace: The user's traceback as text, without frames of Slipway and of libraries.
        fix: See `SlipwayError`.
        told: The class of what was raised, and its message, where that happened in another process, which told of it in
            words; ("", ...) where nothing was raised: the process was killed.
    """

    def __init__(
        self,
        what: str,
        *,
        step: str,
        run_id: str = "",
        trace: str = "",
        fix: str = "",
        told: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(what, fix=fix)
        self.step = step
        self.run_id = run_id
        self.trace = trace
        self.told = told


class RunStopped(SlipwayError):
    """A run that is watched with `stop=True` need not go on; its `with` block ends there, and the script goes on after it.

    Args:
        what: What was found.
        run_id: The run.
        why: See `SlipwayError`.
        fix: See `SlipwayError`.
    """

    def __init__(self, what: str, *, run_id: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.run_id = run_id


class NotFound(SlipwayError, LookupError):
    """A name or id that the ledger, project or store does not know."""


class Conflict(SlipwayError):
    """Somebody else was first, or the thing exists already with another content."""


class Denied(SlipwayError, PermissionError):
    """The actor may not do this."""


class Unauthenticated(Denied):
    """Nobody knows who asks: no token was shown, or one that is good for nothing."""


class GateRefused(SlipwayError):
    """A gate said no.

    Args:
        what: See `SlipwayError`.
        why: See `SlipwayError`.
        fix: See `SlipwayError`.
        verdict: The verdict record with each check's evidence.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", verdict: object = None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.verdict = verdict


class Corrupt(SlipwayError):
    """Stored bytes are not what their digest or signature says."""


class BackendError(SlipwayError, OSError):
    """A store, file system or server failed; trying again does not help by itself."""


class NoAnswer(BackendError):
    """A model did not answer within the time that it had."""


class Unavailable(BackendError):
    """A store or server cannot be reached or is busy; trying again later is sensible."""


def near(given: str, known: Iterable[str], *, what: str = "known") -> str:
    """Say which known names are near a wrong one, as the end of an error's sentence.

    Args:
        given: The name that was not found.
        known: The names that exist.
        what: What the names are, for the sentence ("Known tables: ...").

    Returns:
        "Did you mean 'x'?" or a list of at most ten known names, or a sentence that there are none.
    """
    names = sorted(set(known))
    close = get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    if not names:
        return f"There are no {what} yet."
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"The {what} are: {shown}."
