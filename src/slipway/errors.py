"""Every error that Slipway raises on purpose.

An error is a sentence: what was given or found, why that cannot stand, what to do next.

    SlipwayError
    ├── UserError             something given, declared or configured is wrong: yours to mend
    │   ├── InvalidInput      a value, file or request does not fit          (also ValueError)
    │   │   ├── NotFinite     a model's score of a row is no finite number
    │   │   └── RowRefused    a model raised on a row that fits its contract
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
            └── OverQuota     the project uses as much as it may

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
    "NotFinite",
    "NotFound",
    "OverQuota",
    "RowRefused",
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

    When: never by itself; catch it to catch every error that Slipway means.

    To do: read its last sentence. If there is none, look at the class below it.

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
    """Something given, declared or configured is wrong.

    When: seldom by itself; its kinds below say what does not fit.

    To do: mend what the sentence names in your code, settings or call, and do the same again. Repeating it alone
        cannot help.
    """


class InvalidInput(UserError, ValueError):
    """A value, file or request does not fit.

    When: an option, a parameter, a row, a file or a request's field has another type, range or form than it must.

    To do: the sentence names the value and what was expected, and `field` the field, as in `rows[0].distance`. Change
        it there. Of an endpoint: GET /endpoints/NAME says what it takes.

    Args:
        what: See `SlipwayError`.
        why: See `SlipwayError`.
        fix: See `SlipwayError`.
        field: The name of the offending field, where there is one.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", field: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.field = field


class NotFinite(InvalidInput):
    """A model's score of a row is NaN or infinite: the row is far beyond those of training, or the model is broken.

    When: an endpoint or a batch scored a row that fits its contract, and got NaN or an infinity.

    To do: look at that row's values against the ranges of training (`slipway models show NAME`). If they are sane,
        the model is broken: go back (`slipway rollback ENDPOINT`), and declare a `sw.Fallback` for what is to answer
        meanwhile.
    """


class RowRefused(InvalidInput):
    """A model raised on a row that fits its contract: it learnt no such value, or the model is broken.

    When: a model raised on a row that fits its contract, mostly a category or a text that it never saw in training.

    To do: the cause is in the endpoint's log. Train with `handle_unknown` or the like, or narrow the feature, so that
        the contract refuses such rows by name; until then a `sw.Fallback` answers.
    """


class InvalidDeclaration(UserError, TypeError):
    """A decorator or declaration in the user's code does not fit.

    When: a decorator or a class of `sw` is given what it cannot take; mostly while your module is imported.

    To do: mend the line of your module that the traceback ends in; the sentence says what may stand there. `slipway
        ci check` proves a whole project.
    """


class InvalidSetting(UserError, ValueError):
    """A key or value of slipway.toml, or of an environment variable, does not fit.

    When: a key of slipway.toml is unknown, misspelt, missing or of the wrong type, or a variable SLIPWAY_... does not
        fit.

    To do: mend the key that it names; every key is in docs/reference/settings.md. `slipway doctor` reads the settings
        and says what else does not fit.
    """


class MissingExtra(UserError, ImportError):
    """An optional dependency is not installed.

    When: something was asked for that needs a library which is optional.

    To do: type the command that the sentence ends with, such as `pip install 'slipway[delta]'`, in the environment
        that runs Slipway.
    """


class StepFailed(SlipwayError):
    """The user's step raised. `__cause__` is the original exception.

    When: your own code raised inside a step, ran out of its time or memory, or its process was killed.

    To do: read your traceback in it (`slipway runs logs RUN` has what the step printed), mend the step, and go on
        where it ended: `slipway run PIPELINE --resume RUN`. What succeeded is not done again.

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

    When: `sw.run(...)` watches its curves with `stop=True`, and one of them is NaN, diverges or stands still.

    To do: nothing: it never leaves the `with` block. The run's page says which metric, when and why.

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
    """A name or id that the ledger, project or store does not know.

    When: a name or an id is not there: misspelt, of another project or environment, deleted, or not made yet.

    To do: take the near name that the sentence proposes, or list what there is (`slipway runs list`, `slipway models
        list`, ...); look at `--env` and `-C`. What was deleted is in `slipway trash list`.
    """


class Conflict(SlipwayError):
    """Somebody else was first, or the thing exists already with another content.

    When: two did the same at once, a key or name is taken by another content, or a thing is not in the state that is
        needed.

    To do: look at what is there now and decide anew. It is never overwritten: take another name or key, or wait for
        what is under way.
    """


class Denied(SlipwayError, PermissionError):
    """The actor may not do this.

    When: whoever asks is known, and holds no role or no token's scope that allows it.

    To do: ask somebody who may: the sentence names the right and who holds it; docs/reference/roles.md has all. An
        admin gives roles by `slipway people grant`.
    """


class Unauthenticated(Denied):
    """Nobody knows who asks: no token was shown, or one that is good for nothing.

    When: a store that knows people is asked without a token, or with one that is unknown, revoked or too old.

    To do: set SLIPWAY_TOKEN, or send the header `Authorization: Bearer TOKEN`. A new token: `slipway tokens add`, or
        an admin makes one.
    """


class GateRefused(SlipwayError):
    """A gate said no.

    When: a version was to be released, deployed or promoted, and a check of its gate failed or has no evidence.

    To do: read the verdict: each check says what it found, what it wanted and how to bring what is missing. Train a
        better version, or bring the evidence. In an emergency: docs/gates.md, break-glass.

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
    """Stored bytes are not what their digest or signature says.

    When: a blob, a part of a table, a bundle or the audit log has other bytes than what was written.

    To do: do not go on with it. Restore what the sentence names from a backup (`slipway restore --check` proves one
        first). Of the audit log: tell whoever answers for it, for somebody may have changed it.
    """


class BackendError(SlipwayError, OSError):
    """A store, file system or server failed; trying again does not help by itself.

    When: a disk, a database, an object store or a server answered with a failure, or with what nobody can read.

    To do: the sentence has the far side's own words. Look at its disk, rights and log; `slipway doctor` tries each
        place. Then do the same again: what was begun is either whole or not there.
    """


class NoAnswer(BackendError):
    """A model did not answer within the time that it had.

    When: a bundle that is packaged, judged or replayed did not answer within the time that it had.

    To do: give it more time if it may be that slow, else look for what hangs in its `predict`: a call over the
        network, a lock, threads.
    """


class Unavailable(BackendError):
    """A store or server cannot be reached or is busy; trying again later is sensible.

    When: a server is down, starts or is busy, a lease is held, a network is away, or a disk is full.

    To do: wait and try again, over HTTP after as many seconds as the header `Retry-After` says. If it stays: `slipway
        doctor`, and docs/operations.md.
    """


class OverQuota(Unavailable):
    """The project uses as much as its quota allows; when it uses less, the same is taken.

    When: `[quota]` of slipway.toml limits runs a day, pipelines at once or endpoints, and this one would be more.

    To do: wait until a day has gone by or a pipeline has ended, or stop an endpoint; or have an administrator raise the
        number. The project's settings page shows what is used.
    """


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
