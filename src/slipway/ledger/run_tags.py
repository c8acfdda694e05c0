"""Tags by which runs say what they were started from and for."""

__all__ = ["RERUNS", "TOLERANCE", "WARM_START"]

RERUNS = "slipway.reruns"
"""The tag of a run that was started from another one with something changed: the other one's id."""

WARM_START = "slipway.warm_start"
"""The tag of a run whose pipeline took the model of another one to start from: the other one's id."""

TOLERANCE = "slipway.tolerance"
"""The tag of a run whose pipeline declares how far apart numbers may be that count as reproduced: the number."""
