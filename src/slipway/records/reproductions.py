"""Reproductions: a run that was run again from what is stored, and what came of the comparison."""

from typing import Literal

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["REPRODUCED", "Reproduction", "ReproductionCause", "ReproductionVerdict"]

ReproductionVerdict = Literal["equal", "within tolerance", "differs", "cannot", "altered"]
REPRODUCED = frozenset({"equal", "within tolerance"})

ReproductionCause = Literal[
    "", "python", "library", "data", "code", "seed", "hardware", "erased rows", "artifact", "unknown"
]


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
        step: The first step whose result differs, "result" for the pipeline's own, "metrics" for what the run logged, ""
            where none does.
        cause: Why it differs or cannot be compared; "unknown" where nothing that is recorded differs; "" where all is equal.
        compared: How many steps' results were compared.
        run_id: The run that repeated it, "" where none began.
        environment: In what it was repeated: "the lock", built for it; "here", what is installed.
        bundle: The digest of the bundle that the run's model was packaged as, "" for none.
        seconds: Machine time of the repetition.
        actor: Who asked.
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
    signature: str = ""
