"""What a client must be refused, and with which code."""

from collections.abc import Callable
from typing import Any

from mlflow.exceptions import MlflowException


def refused(code: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Check that a call is refused with a code of MLflow's."""
    try:
        call(*arguments, **named)
    except MlflowException as problem:
        assert problem.error_code == code, (problem.error_code, str(problem))  # noqa: PT017
    else:
        raise AssertionError(f"{call.__name__}{arguments} was not refused")
