"""Pages made smaller on their way to a browser, where nobody can learn anything from their size.

Who makes a browser ask for pages with words of his own in the address, and sees how long the answers are, can guess at what
stands beside these words once both are compressed together (BREACH, 2013). So a page is compressed only where the browser
says that the request comes from this server's own pages or from the person's hand (Fetch Metadata, W3C: `Sec-Fetch-Site`);
what another site made it ask for goes as it is, and so does the answer to a form, which may hold a new token.
"""

import gzip

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["packed"]

_LEAST_BYTES = 1400
_LEVEL = 5
_OWN = ("same-origin", "none")


def packed(request: Request, response: Response) -> Response:
    """A page's answer, compressed where the browser takes that and asks of its own accord.

    Args:
        request: What was asked.
        response: A whole answer, no stream.
    """
    response.headers["vary"] = "accept-encoding, sec-fetch-site"
    is_own = request.method == "GET" and request.headers.get("sec-fetch-site") in _OWN
    takes = "gzip" in request.headers.get("accept-encoding", "")
    if is_own and takes and len(response.body) >= _LEAST_BYTES:
        response.body = gzip.compress(bytes(response.body), _LEVEL, mtime=0)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response
