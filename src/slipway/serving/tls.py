"""A certificate and its key: looked at before they are used, and read anew when their files change.

Source: RFC 9110 section 4.2.2 (HTTPS), RFC 9325 (TLS 1.2 at least), RFC 9525 (names in certificates).
"""

import ipaddress
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from slipway.errors import InvalidInput, SlipwayError
from slipway.records.reach import Reach

__all__ = ["Tls", "covers", "names_of", "read_certificate"]


class Tls:
    """What a listener speaks TLS with; a certificate that is renewed counts for the next connection.

    Args:
        reach: Names the files.
        say: Receives a sentence where renewed files cannot be used; the former certificate stays.

    Attributes:
        context: For the listener, the same one for as long as it listens.

    Raises:
        InvalidInput: The files cannot be used.
    """

    def __init__(self, reach: Reach, say: Callable[[str], None]) -> None:
        self._files = (Path(reach.certificate), Path(reach.key))
        self._say = say
        self._said = ""
        self._seen = self._stamp()
        read_certificate(*self._files)
        self.context = self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    def look(self) -> bool:
        """Look once whether the files changed, and use them if they did; says whether others are used now."""
        seen = self._stamp()
        if seen == self._seen:
            return False
        try:
            read_certificate(*self._files)
            self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except SlipwayError as problem:  # the key may follow its certificate in a moment: it is tried at each look
            if str(problem) != self._said:
                self._say(f"The renewed certificate is not used, the former one is: {problem}")
            self._said = str(problem)
            return False
        self._loaded(self.context)
        self._seen, self._said = seen, ""
        return True

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        certificate, key = self._files
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # never ask at a terminal
        except (ssl.SSLError, OSError) as problem:
            raise _unfit(
                certificate, str(problem), "Give a certificate with its chain, and its key, in PEM."
            ) from problem
        return context

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        return [_stamp_of(path) for path in self._files]


def read_certificate(certificate: Path, key: Path) -> x509.Certificate:
    """A certificate that belongs to a key and has not ended.

    Args:
        certificate: Its file; what follows it there is its chain.
        key: The file of its private key.

    Raises:
        InvalidInput: A file cannot be read, the two do not belong together, the key is encrypted, or the certificate has
            ended or not begun.
    """
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except OSError as problem:
        raise _unfit(certificate, f"{problem.strerror}", "Give the file of the server's certificate.") from problem
    except (ValueError, IndexError) as problem:
        raise _unfit(
            certificate, "it is no certificate in PEM", "Convert it: openssl x509 -in FILE -out FILE.pem"
        ) from problem
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except OSError as problem:
        raise _unfit(key, f"{problem.strerror}", "Give the file of the certificate's key.") from problem
    except TypeError as problem:
        raise _unfit(
            key, "it is encrypted", "Take the password off: openssl pkey -in FILE -out KEY; chmod 600 KEY"
        ) from problem
    except ValueError as problem:
        raise _unfit(key, "it is no private key in PEM", "Give the file of the certificate's key.") from problem
    forms = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if found.public_key().public_bytes(*forms) != private.public_key().public_bytes(*forms):
        raise _unfit(
            certificate, f"the key in {key} is another one's", "Give the key that the certificate was made for."
        )
    now = datetime.now(UTC)  # certificates live in the machine's time, whatever a simulation says
    if found.not_valid_after_utc <= now:
        raise _unfit(certificate, f"it ended on {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", "Have it renewed.")
    if found.not_valid_before_utc > now:
        raise _unfit(certificate, f"it begins on {found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", "Look at the clock.")
    return found


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses for which a certificate is, those with a wildcard included."""
    try:
        kept = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in kept.get_values_for_type(x509.IPAddress)]
    return (*(name.lower() for name in kept.get_values_for_type(x509.DNSName)), *addresses)


def covers(names: tuple[str, ...], name: str) -> bool:
    """Whether a certificate with these names is for a name; a wildcard stands for one label."""
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"*.{name.partition('.')[2]}" in names
    return False


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _unfit(path: Path, why: str, fix: str) -> InvalidInput:
    return InvalidInput(f"{path} cannot be used for TLS: {why}.", fix=fix, field="tls_certificate")
