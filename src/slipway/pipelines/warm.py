"""The model that a run starts from: the process that runs a task makes it known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipway.context import Slot

__all__ = ["Former", "former"]


@dataclass(frozen=True, slots=True)
class Former:
    """What `slipway.warm_start()` gives inside a pipeline's run.

    Args:
        run_id: The run whose model it is, "" where the run starts from none.
        load: Reads the model anew: whoever trains it further changes a copy of their own.
    """

    run_id: str = ""
    load: Callable[[], Any] = lambda: None


former: Slot[Former] = Slot("slipway.warm_start")
