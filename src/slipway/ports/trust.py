"""Whose certificates clients of Slipway's servers believe: the public authorities', or those of SSL_CERT_FILE."""

import os
import ssl

from slipway.errors import InvalidSetting, Unavailable

__all__ = ["TRUST_VARIABLE", "trusted", "untrusted"]

TRUST_VARIABLE = "SSL_CERT_FILE"
"""As OpenSSL, curl and httpx call the file of the authorities to believe; one of a company's own is named there."""


def trusted(url: str = "") -> ssl.SSLContext | bool:
    """What httpx is to verify certificates by: the authorities of the environment, or True for the public ones.

    Where a client speaks to one address only, and that is plain HTTP, nobody is believed: no certificate comes there, and
    to read the authorities takes longer than many requests.

    Args:
        url: The one address, "" for any.

    Raises:
        InvalidSetting: The file that the environment names holds none.
    """
    if url.lower().startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file = os.environ.get(TRUST_VARIABLE, "")
    if not file:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as problem:
        raise InvalidSetting(
            f"The environment variable {TRUST_VARIABLE} names {file!r}, which holds no certificates: {problem}.",
            fix="Name the file of your authority's certificate, in PEM.",
        ) from problem


def untrusted(url: str, problem: Exception) -> Unavailable | None:
    """The sentence for a connection that failed because the server's certificate is not believed; None for any other."""
    if "CERTIFICATE_VERIFY_FAILED" not in str(problem):
        return None
    return Unavailable(
        f"The certificate of {url} is not believed: {str(problem).rpartition('] ')[2]}.",
        why="Somebody else might answer there.",
        fix=f"Where an authority of your own made it: export {TRUST_VARIABLE}=/path/to/authority.pem",
    )
