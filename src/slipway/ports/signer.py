"""Signatures over bytes."""

from typing import Protocol

__all__ = ["Signer"]


class Signer(Protocol):
    """Signs with this installation's key and verifies with every key that it trusts. Safe for threads."""

    @property
    def key_id(self) -> str:
        """The first 16 hex digits of the public key's digest."""
        ...

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """A DSSE envelope (JSON) over the payload.

        Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
        """
        ...

    def verify(self, envelope: bytes, payload_type: str) -> bytes:
        """The payload of an envelope whose signature holds under a trusted key.

        Raises:
            Corrupt: The envelope is damaged, of another type, signed by an unknown key, or altered.
        """
        ...
