"""Where a server or a store's endpoints answer, and as whom they may be asked."""

from msgspec import Struct

__all__ = ["LOOPBACK", "STOPPING", "Reach"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names of the machine itself, which nobody elsewhere reaches."""

STOPPING = "stopping"
"""In the state of each request: the event that says that the server stops, for answers that would last."""


class Reach(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where something answers.

    Args:
        host: The address to listen on.
        names: The host names under which it may be asked, besides those of the machine itself.
        certificate: The file of its certificate, with the chain up to its authority; "" for no TLS of its own.
        key: The file of the certificate's private key.
        proxies: The addresses or networks of the proxies that end TLS in front of it; () for none.
        port: The one port of all endpoints of a store, 0 where each has its own.
        prefix: The path below which a proxy shows the server, such as "/slipway"; "" for none.
    """

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    proxies: tuple[str, ...] = ()
    port: int = 0
    prefix: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only the machine itself reaches it."""
        return self.host in LOOPBACK and not self.proxies

    def url(self, port: int) -> str:
        """Where it answers, by the name that its callers use first."""
        name = self.names[0] if self.names and self.certificate else self.host
        shown = f"[{name}]" if ":" in name else name
        return f"{'https' if self.certificate else 'http'}://{shown}:{port}{self.prefix}"
