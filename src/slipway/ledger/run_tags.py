"""Tags by which runs say what they are, and what they were started from. They are for reading: what is loaded again goes by the lineage."""

__all__ = ["FOUND", "RERUNS", "RESTORED", "RESUMES", "SEARCH", "STARTED", "TRIAL", "WARM_START"]

FOUND = "slipway.found"
"""The tag of a trial of a search whose steps were all found stored: nothing ran."""

RERUNS = "slipway.reruns"
"""The tag of a run that was started from another one with something changed: the other one's id."""

RESTORED = "slipway.restored"
"""The tag of a run that repeats another one: the variables about threads that were set for it as they were then."""

RESUMES = "slipway.resumes"
"""The tag of a run that resumes another one: the other one's id."""

SEARCH = "slipway.search"
"""The tag of a run whose runs inside are the trials of a search: the name of what it trains."""

STARTED = "slipway.start"
"""The tag of a run that was started without a checkout: the key of that start."""

TRIAL = "slipway.trial"
"""The tag of a trial of a search: its number."""

WARM_START = "slipway.warm_start"
"""The tag of a run whose pipeline took the model of another one to start from: the other one's id."""
