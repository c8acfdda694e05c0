"""Reproductions: a run that was run again from what is stored, and what came of the comparison."""

from typing import Literal

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["Reproduction", "ReproductionVerdict"]

ReproductionVerdict = Literal["equal", "within tolerance", "differs", "cannot"]


class Reproduction(Record, frozen=True, kw_only=True, tag="reproduction"):
    """One attempt to reproduce a run; id: "<run id>-<number>"; name: the pipeline's.

    Args:
        parent_id: The run that was to be reproduced.
        number: Counts the run's reproductions from 1.
        verdict: "equal": every result that was kept is equal by its logical fingerprint; "within tolerance": models
            differ, but answer their reference rows alike to within 1e-9; "differs"; "cannot": something that it takes is
            missing, or nothing was kept that could be compared.
        sentence: What was found and, where it is known, why.
        step: The first step whose result differs, "result" for the pipeline's own, "" where none does.
        compared: How many steps' results were compared.
        run_id: The run that repeated it, "" where none began.
        bundle: The digest of the bundle that the run's model was packaged as, "" for none.
        seconds: Machine time of the repetition.
        actor: Who asked.
    """

    parent_id: str
    number: int
    verdict: ReproductionVerdict
    sentence: str
    step: str = ""
    compared: int = 0
    run_id: str = ""
    bundle: str = ""
    seconds: float = 0.0
    actor: Actor
