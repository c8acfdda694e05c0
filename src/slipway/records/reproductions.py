"""Reproductions: a run that was run again from what is stored, and what came of the comparison."""

from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["REPRODUCED", "Reproduction", "ReproductionCause", "ReproductionVerdict", "SearchCompared"]

ReproductionVerdict = Literal["equal", "within tolerance", "differs", "cannot", "altered"]
REPRODUCED = frozenset({"equal", "within tolerance"})

ReproductionCause = Literal[
    "", "python", "library", "data", "code", "seed", "hardware", "erased rows", "artifact", "unknown"
]


class SearchCompared(Struct, frozen=True, kw_only=True):
    """The trials of one search beside those of the search that was to be reproduced.

    Args:
        name: The search's.
        equal: How many trials came to the same.
        near: How many came to the same within tolerance.
        differing: How many did not, were not made again, or were made by one of the two alone.
        untold: How many kept nothing that could be compared.
        first: The first trial that differs and in what, as a sentence; "" for none.
    """

    name: str
    equal: int = 0
    near: int = 0
    differing: int = 0
    untold: int = 0
    first: str = ""

    @property
    def compared(self) -> int:
        """How many trials there are."""
        return self.equal + self.near + self.differing + self.untold

    def __str__(self) -> str:
        counts = {
            "equal": self.equal,
            "within tolerance": self.near,
            "differing": self.differing,
            "without a kept result": self.untold,
        }
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        return f"{self.compared} {'trial' if self.compared == 1 else 'trials'} of {self.name}: {told or 'none'}"


class Reproduction(Record, frozen=True, kw_only=True, tag="reproduction"):
    """One attempt to reproduce a run; id: "<run id>-<number>"; name: the pipeline's.

    Args:
        parent_id: The run that was to be reproduced.
        number: Counts the run's reproductions from 1.
        verdict: "equal": every result that was kept is equal by its logical fingerprint; "within tolerance": numbers or
            models' answers differ, by no more than is declared or 1e-9; "differs"; "cannot": something that it takes is
            missing, or nothing was kept that could be compared. "altered" is never stored: it is what a reader is told
            of a record that is not what was signed.
        sentence: What was found and, where it is known, why.
        step: The first step whose result differs, "result" for the pipeline's own, "metrics" for what the run logged,
            "trial 3" for a trial of a search, "" where none does.
        cause: Why it differs or cannot be compared; "unknown" where nothing that is recorded differs; "" where all is equal.
        compared: How many steps' results were compared.
        run_id: The run that repeated it, "" where none began.
        environment: In what it was repeated: "the lock", built for it; "here", what is installed.
        bundle: The digest of the bundle that the run's model was packaged as, "" for none.
        seconds: Machine time of the repetition.
        actor: Who asked.
        searches: What became of the trials of each search that the run made.
        signature: A DSSE envelope over an in-toto statement of all this, "" in records of earlier releases.
    """

    parent_id: str
    number: int
    verdict: ReproductionVerdict
    sentence: str
    step: str = ""
    cause: ReproductionCause = ""
    compared: int = 0
    run_id: str = ""
    environment: Literal["", "the lock", "here"] = ""
    bundle: str = ""
    seconds: float = 0.0
    actor: Actor
    searches: tuple[SearchCompared, ...] = ()
    signature: str = ""
