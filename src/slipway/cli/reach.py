"""The options that say where something answers: of `slipway up` and of `slipway endpoints listen`."""

from collections.abc import Callable
from functools import wraps
from os.path import abspath
from typing import Any

import click

from slipway.records.reach import Reach

__all__ = ["reach_options"]

_FILE = click.Path(dir_okay=False)


def reach_options(body: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and hand them to it as the argument `reach`."""

    @click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
    @click.option(
        "--tls-certificate", "certificate", metavar="FILE", type=_FILE, default=None, help="With its chain, in PEM."
    )
    @click.option("--tls-key", "key", metavar="FILE", type=_FILE, default=None, help="The certificate's key, in PEM.")
    @click.option(
        "--name",
        "names",
        metavar="NAME",
        multiple=True,
        help="As what it is asked for; the certificate's when missing.",
    )
    @click.option(
        "--behind-proxy",
        "proxies",
        metavar="ADDRESS",
        multiple=True,
        help="The proxy, or network, that ends TLS for it.",
    )
    @wraps(body)
    def command(
        *,
        host: str,
        certificate: str | None,
        key: str | None,
        names: tuple[str, ...],
        proxies: tuple[str, ...],
        **others: Any,
    ) -> Any:
        files = [abspath(path) if path else "" for path in (certificate, key)]  # a link stays one: renewals change it
        reach = Reach(host=host, names=names, certificate=files[0], key=files[1], proxies=proxies)
        return body(reach=reach, **others)

    return command
