"""The protocols that a model is asked in beside the endpoint's own: where each is asked, and how it writes an error."""

from collections.abc import Callable, Mapping
from typing import Any

from slipway.errors import SlipwayError
from slipway.serving import invocations, v2
from slipway.serving.dialects import Dialect
from slipway.serving.http import Scope

__all__ = ["dialects", "error_form"]

_ERROR_FORMS = {"v2": v2.error_form, "invocations": invocations.error_form}


def dialects(name: str) -> Mapping[str, Dialect]:
    """The paths at which a model answers in another protocol.

    Args:
        name: The endpoint's.
    """
    return {"/invocations": invocations.DIALECT, f"/v2/models/{name}/infer": v2.DIALECT}


def error_form(scope: Scope) -> Callable[[SlipwayError, int], Any] | None:
    """How the protocol that a path belongs to writes an error, None for the endpoint's own."""
    return _ERROR_FORMS.get(scope["path"].removeprefix("/").partition("/")[0])
