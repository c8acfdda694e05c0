"""The one place where errors meet HTTP numbers."""

import errno
import logging

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from slipway.errors import (
    BackendError,
    Conflict,
    Denied,
    GateRefused,
    InvalidInput,
    NotFound,
    OverQuota,
    SlipwayError,
    StepFailed,
    Unauthenticated,
    Unavailable,
    UserError,
)
from slipway.ids import new_id
from slipway.operations.wire import error_body
from slipway.server.watched import request_id, route_of

__all__ = [
    "InternalError",
    "MethodNotAllowed",
    "NotJson",
    "TooLarge",
    "answer",
    "retry_after",
    "status_of",
    "unexpected",
]

_logger = logging.getLogger("slipway.server")


class NotJson(InvalidInput):
    """The request's body is not a JSON object.

    When: an operation was asked over HTTP with a body that is no JSON object.

    To do: send an object in UTF-8, `{}` for no fields, with the header `Content-Type: application/json`.
    """


class TooLarge(InvalidInput):
    """The request's body is larger than any request may be.

    When: a request's body is larger than the server takes, which the sentence says.

    To do: send less at once: files in parts, rows in several requests.
    """


class MethodNotAllowed(SlipwayError):
    """The path exists, but not for this method.

    When: a path was asked with another method than it has, mostly GET instead of POST.

    To do: use the method that the sentence names; /api/v1/openapi.json has all.
    """


class InternalError(SlipwayError):
    """Slipway itself failed; the server's log has the traceback under the id that the sentence names.

    When: something failed that nobody foresaw: a defect of Slipway.

    To do: find the traceback in the server's log under the id of the sentence, and report both: `slipway support-
        bundle` makes a file without secrets.
    """


# The nearest class above an error decides.
_STATUS: dict[type[SlipwayError], int] = {
    NotJson: 400,
    TooLarge: 413,
    MethodNotAllowed: 405,
    InvalidInput: 422,
    UserError: 400,
    StepFailed: 422,
    NotFound: 404,
    Conflict: 409,
    GateRefused: 409,
    Denied: 403,
    Unauthenticated: 401,
    OverQuota: 429,
    Unavailable: 503,
    BackendError: 500,
    SlipwayError: 500,
}
_RETRY_AFTER_S = "2"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def status_of(error: SlipwayError) -> int:
    """The HTTP status that says the same as an error."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def answer(error: SlipwayError) -> Response:
    """An error as a JSON answer."""
    status = status_of(error)
    return Response(msgspec.json.encode(error_body(error)), status, retry_after(status), media_type="application/json")


def retry_after(status: int) -> dict[str, str]:
    """The header that says when to try again, where that is sensible."""
    return {"retry-after": _RETRY_AFTER_S} if status == 503 else {}


def unexpected(request: Request, problem: Exception) -> SlipwayError:
    """Log an exception that nobody meant to raise, and make the sentence that names its place in the log.

    A full disk is nobody's fault here, and passes: that is said as it is.
    """
    if isinstance(problem, OSError) and problem.errno in _NO_SPACE:
        return Unavailable(
            f"The server cannot write: {problem.strerror}.",
            fix="See that its disk has space, and send the request again.",
        )
    name = request_id(request.scope) or new_id()
    told = ("Failure %s of %s %s", name, request.method, route_of(request.scope))  # a path may hold a secret
    _logger.error(*told, exc_info=problem, extra={"request": name})
    return InternalError(
        f"The server failed on this request (failure {name}).",
        why="This is a fault of Slipway, not of the request.",
        fix="Its traceback is in the server's log under this id; please report it.",
    )
