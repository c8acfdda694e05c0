"""MLflow's words for states and views, and small checks of requests."""

from typing import Literal

from slipway.errors import InvalidInput, near
from slipway.records.runs import RunState

__all__ = ["MODEL_STATUS", "STATUS", "checked_limit", "needed", "state_of", "view_of"]

STATUS: dict[RunState, str] = {
    "running": "RUNNING",
    "scheduled": "SCHEDULED",
    "finished": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}
"""A run's states in MLflow's words, in the order of their numbers there, which begin at 1."""

MODEL_STATUS: dict[Literal["pending", "ready", "failed"], str] = {
    "pending": "LOGGED_MODEL_PENDING",
    "ready": "LOGGED_MODEL_READY",
    "failed": "LOGGED_MODEL_UPLOAD_FAILED",
}
"""A logged model's states in MLflow's words, in the order of their numbers there, which begin at 1."""

_VIEWS = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}


def needed(value: str, field: str) -> str:
    """A text that must be given.

    Raises:
        InvalidInput: It is not.
    """
    if not value:
        raise InvalidInput(
            f"Missing value for required parameter {field!r}.", fix="Send what MLflow's own client sends.", field=field
        )
    return value


def checked_limit(limit: int, most: int) -> int:
    """How many a page may have.

    Raises:
        InvalidInput: Less than 1 or more than `most`.
    """
    if not 1 <= limit <= most:
        raise InvalidInput(
            f"Invalid value {limit} for parameter 'max_results' supplied.",
            fix=f"Ask for 1 to {most:,}.",
            field="max_results",
        )
    return limit


def view_of(given: str | int) -> str:
    """Which of active and deleted ones are meant: "active", "deleted" or "all".

    Raises:
        InvalidInput: There is no such view.
    """
    name = _numbered(given, list(_VIEWS))
    if name not in _VIEWS:
        raise InvalidInput(f"There is no view {str(given)[:40]!r}.", fix=near(name, _VIEWS, what="views"))
    return _VIEWS[name]


def state_of(given: str | int) -> RunState | None:
    """The state of a run that MLflow's word means, None for none.

    Raises:
        InvalidInput: There is no such status.
    """
    if given == "":
        return None
    words = {word: state for state, word in STATUS.items()}
    name = _numbered(given, list(words))
    if name not in words:
        raise InvalidInput(f"There is no status {str(given)[:40]!r} of a run.", fix=near(name, words, what="statuses"))
    return words[name]


def _numbered(given: str | int, names: list[str]) -> str:
    text = str(given)
    if text.isdigit() and len(text) < 3 and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    return text
