"""Who may be asked from where: what a server or an endpoint checks before it listens, and of each request.

Elsewhere nothing answers without TLS, of its own or of a proxy's that is named by its address; and what was forwarded is
believed of such a proxy alone. Source: RFC 9110 section 7.2 (Host); X-Forwarded-Proto and X-Forwarded-Host as proxies
write them: of several values the last one is the nearest proxy's.
"""

import ipaddress
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from slipway.errors import Denied, InvalidInput
from slipway.records.reach import LOOPBACK, Reach
from slipway.serving.reach_file import REACH_FILE, SERVER_REACH_FILE, encoded, read_reach
from slipway.serving.tls import covers, names_of, read_certificate

__all__ = ["REACH_FILE", "SERVER_REACH_FILE", "Asked", "asked", "checked", "encoded", "host_of", "read_reach"]

_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


class Asked(NamedTuple):
    """How a request came in.

    Args:
        host: The Host that its sender asked for, with its port.
        is_https: Whether nobody on the way could read it.
    """

    host: str
    is_https: bool


def checked(reach: Reach, what: str) -> Reach:
    """A reach that may be used, with the names of its certificate where none were given.

    Args:
        reach: As somebody wrote it.
        what: What is to listen: "The server".

    Raises:
        InvalidInput: It would answer elsewhere without TLS or without a name, or its certificate is not for its name.
    """
    if bool(reach.certificate) != bool(reach.key):
        raise InvalidInput(
            "A certificate and its key go together, and one of them is missing.",
            fix="Give both: --tls-certificate FILE --tls-key FILE",
            field="tls_key" if reach.certificate else "tls_certificate",
        )
    for proxy in reach.proxies:
        _network(proxy)
    if reach.prefix and not _PREFIX.fullmatch(reach.prefix):
        raise InvalidInput(
            f"{reach.prefix!r} is no path that pages can be shown below.",
            fix="Give it as the proxy has it, without a slash at its end: --prefix /slipway",
            field="prefix",
        )
    if not reach.is_local and not reach.certificate and not reach.proxies:
        raise InvalidInput(
            f"{what} cannot listen on {reach.host!r} without TLS.",
            why="Whoever is on the way could read the tokens, and use them.",
            fix="Give --tls-certificate FILE --tls-key FILE, or --behind-proxy ADDRESS where a proxy ends TLS; from one "
            "other machine an SSH tunnel to 127.0.0.1 does.",
            field="host",
        )
    names = tuple(name.lower().rstrip(".") for name in reach.names)
    for name in names:
        _check_name(name)
    if reach.certificate:
        names = _names(reach, names)
    elif not reach.is_local and not names:
        raise InvalidInput(
            f"{what} does not know under which name its proxy is asked.",
            why="A request for another name is refused, so that no web page reaches it under a name of its own.",
            fix="Give the name that people type: --name slipway.example.org",
            field="name",
        )
    return msgspec.structs.replace(reach, names=names)


def asked(scope: Any, reach: Reach, what: str = "This server") -> Asked:
    """How a request came in, and that it may.

    Args:
        scope: ASGI's, of HTTP.
        reach: Where the server answers.
        what: Who answers, for the sentences.

    Raises:
        Denied: It came neither by TLS nor from the machine itself, or asks for a name that is none of the server's.
    """
    host, scheme, forwarded_host, forwarded_scheme = "", scope.get("scheme", "http"), "", ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"x-forwarded-proto":
            forwarded_scheme = _last(value)
        elif name == b"x-forwarded-host":
            forwarded_host = _last(value)
    client = (scope.get("client") or ("",))[0]
    if reach.proxies and (forwarded_scheme or forwarded_host) and _is_within(client, reach.proxies):
        scheme, host = forwarded_scheme or scheme, forwarded_host or host
        if scheme != "https":
            raise Denied(
                f"{what} was asked through its proxy by plain HTTP.",
                why="Tokens would be read on the way.",
                fix="Ask by https://, and let the proxy send plain requests there, with X-Forwarded-Proto.",
            )
    is_https = scheme == "https"
    if not is_https and not reach.is_local and not _is_loopback(client):
        raise Denied(
            f"{what} answers to its proxy only, and this request came from {client or 'nowhere'} without TLS.",
            why="Tokens would be read on the way.",
            fix="Ask the proxy. If that is what asked: name its address with --behind-proxy, and let it send "
            "X-Forwarded-Proto.",
        )
    own = host_of(host)
    if own not in LOOPBACK and not (own in reach.names and (is_https or reach.is_local)):
        names = sorted(reach.names)
        raise Denied(
            f"{what} does not answer for the host {host!r}.",
            why="It answers only under names of its own, so that no web page can reach it under another name.",
            fix=f"Ask for {' or '.join(f'https://{name}' for name in names)}."
            if names
            else "Ask for http://localhost or http://127.0.0.1, with the server's port.",
        )
    return Asked(host, is_https)


def host_of(header: str) -> str:
    """The name in a Host header, without its port; "" where it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:  # an unbalanced bracket
        return ""


def _names(reach: Reach, names: tuple[str, ...]) -> tuple[str, ...]:
    known = names_of(read_certificate(Path(reach.certificate), Path(reach.key)))
    foreign = [name for name in names if not covers(known, name)]
    if foreign:
        raise InvalidInput(
            f"The certificate {reach.certificate} is not for {foreign[0]!r}.",
            why=f"It is for: {', '.join(known) or 'no name at all'}. Clients would refuse it.",
            fix="Have one made for that name, or ask under a name that it has.",
            field="name",
        )
    found = names or tuple(name for name in known if "*" not in name)
    if not found:
        raise InvalidInput(
            f"The certificate {reach.certificate} says no whole name.",
            why=f"It is for: {', '.join(known) or 'no name at all'}.",
            fix="Give the name that people type: --name slipway.example.org",
            field="name",
        )
    return found


def _check_name(name: str) -> None:
    if not name or host_of(f"[{name}]" if ":" in name else name) != name:
        raise InvalidInput(
            f"{name!r} is no host name.",
            fix="Give it without scheme and port: --name slipway.example.org",
            field="name",
        )


@lru_cache(maxsize=64)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as problem:
        raise InvalidInput(
            f"{text!r} is no address of a proxy.",
            fix="Give the address, or the network, that its connections come from: --behind-proxy 10.0.0.7",
            field="behind_proxy",
        ) from problem
    if found.prefixlen == 0:
        raise InvalidInput(
            f"{text!r} is every address there is.",
            why="Anybody could say that a request came by TLS, and under which name.",
            fix="Name the proxy's own address: --behind-proxy 10.0.0.7",
            field="behind_proxy",
        )
    return found


@lru_cache(maxsize=4096)
def _is_within(client: str, proxies: tuple[str, ...]) -> bool:
    address = _address(client)
    return address is not None and any(address in _network(proxy) for proxy in proxies)


def _is_loopback(client: str) -> bool:
    address = _address(client)
    return address is not None and address.is_loopback


def _address(client: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(client)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _last(value: bytes) -> str:
    return value.decode("latin-1").rpartition(",")[2].strip().lower()
