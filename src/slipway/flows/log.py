"""`sw.Log`: how an endpoint's predictions are logged."""

from dataclasses import dataclass

from slipway.errors import InvalidDeclaration
from slipway.records.endpoints import LogSpec
from slipway.schema.durations import microseconds

__all__ = ["Log"]

_LEAST_SHARE = 0.0001
_LEAST_KEEP_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Log:
    """What is kept of what an endpoint answers.

    Args:
        keep: For how much business time a day of predictions, labels, shadow answers and failures stays: "400d". "" for
            ever. Pushed events stay: features are made of them.
        sample: The share of rows that is logged, by a hash of the row's key: a case is logged always or never. What could
            not be answered is logged always.
        sync: Whether an answer leaves only after its rows are on the disk. Without it a worker that is killed loses what
            it answered in its last moments.
        redact: "personal" keeps values of personal columns out: a text becomes a keyed hash, by which rows are still
            told apart and matched with labels; what is no text is left out.
        roll: After how long what was written becomes Parquet: "1h".

    Raises:
        InvalidDeclaration: Something given is none of that.
    """

    keep: str = ""
    sample: float = 1.0
    sync: bool = False
    redact: str = ""
    roll: str = "1h"

    def __post_init__(self) -> None:
        if self.keep and microseconds(self.keep, "keep of a log") < _LEAST_KEEP_US:
            raise self._unfit("keep", self.keep, "Whole days are kept: '1d' at least, or '' for ever.")
        is_number = isinstance(self.sample, int | float) and not isinstance(self.sample, bool)
        if not is_number or not _LEAST_SHARE <= self.sample <= 1:
            raise self._unfit("sample", self.sample, f"Give a share from {_LEAST_SHARE} to 1: 0.1 logs one row in ten.")
        if not isinstance(self.sync, bool):
            raise self._unfit("sync", self.sync, "Give True or False.")
        if self.redact not in ("", "personal"):
            raise self._unfit("redact", self.redact, "Give 'personal', or leave it out.")
        if microseconds(self.roll, "roll of a log") <= 0:
            raise self._unfit("roll", self.roll, "Give '1m' at least.")

    def spec(self) -> LogSpec:
        """The declaration as data."""
        return LogSpec(
            keep_us=microseconds(self.keep) if self.keep else 0,
            sample=float(self.sample),
            sync=self.sync,
            redact=self.redact == "personal",
            roll_us=microseconds(self.roll),
        )

    def _unfit(self, what: str, given: object, fix: str) -> InvalidDeclaration:
        return InvalidDeclaration(f"A prediction log was given {given!r} as its {what}.", fix=fix)
