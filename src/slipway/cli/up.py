"""`slipway up`: serve a store."""

import logging
import os
from importlib import import_module
from pathlib import Path

import click
import msgspec

from slipway.cli.door import json_option
from slipway.cli.layout import print_json
from slipway.cli.reach import reach_options
from slipway.errors import NotFound
from slipway.governance import anchors, channels
from slipway.hosts.control_plane import serve
from slipway.hosts.endpoint_port import keep_port
from slipway.hosts.server_log import LogForm, ServerLog
from slipway.hosts.settings import FILE, EnvironmentSettings, locate, read_settings
from slipway.ports.workspace import LARGEST_UPLOAD
from slipway.records.reach import Reach

__all__ = ["up"]

_APP = "slipway.server.app"  # by name: doors do not import each other


@click.command()
@click.option("--root", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="The store's folder.")
@reach_options
@click.option("--port", default=8300, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.option("--prefix", metavar="PATH", default="", help="The path below which its proxy shows it, such as /slipway.")
@click.option("--env", "environment", default="dev", show_default=True, help="Which environment the store is.")
@click.option(
    "--largest-artifact",
    "megabytes",
    metavar="MB",
    default=LARGEST_UPLOAD // 10**6,
    show_default=True,
    type=click.IntRange(min=1),
    help="The largest artifact that runs may send, in megabytes.",
)
@click.option(
    "--log", "form", type=click.Choice(("text", "json")), help="A line a request on standard error, so written."
)
@json_option
def up(
    root: Path | None,
    reach: Reach,
    port: int,
    prefix: str,
    environment: str,
    megabytes: int,
    form: LogForm | None,
    as_json: bool,
) -> None:
    """Serve the pages and the API of a store, and look after its endpoints, until Ctrl-C.

    It is what watches them, trains again what is due, and takes challengers through their roll-outs.

    Without --root it is the store of the project in the present folder, or what runs logged there; then it also warns of
    the project's environments on demand that nobody uses, and takes them away when that was said long enough ago.

    It answers elsewhere than on this machine only by TLS, its own or a proxy's, and only where the store knows people. A
    certificate that is renewed in its files is used without a restart.
    """
    make_app = import_module(_APP).make_app
    home, store, chosen = (None, root, None) if root else _of_project(environment)
    provider = None if home is None or not (home / FILE).is_file() else read_settings(home).server.oidc
    store = store.resolve()
    log = ServerLog(form or "", lambda line: click.echo(line, err=True))
    if form:
        logging.getLogger().addHandler(log.handler())

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "root": str(store), "pid": os.getpid()})
        else:
            click.echo(f"Slipway serves {store} at {url}")

    serve(
        store,
        lambda workspace, reach, figures: make_app(workspace, reach, figures, provider, log),
        environment=environment,
        ledger=chosen.ledger if chosen else None,
        blobs=chosen.blobs if chosen else "",
        reach=msgspec.structs.replace(reach, prefix=prefix),
        port=port,
        largest_upload=megabytes * 10**6,
        home=home,
        traces=chosen.traces if chosen else "",
        say=log.say,
        once_ready=ready,
    )


def _of_project(environment: str) -> tuple[Path, Path, EnvironmentSettings]:
    """The project's folder, that of its store, and the environment's settings."""
    try:
        folder, settings = locate(Path())
    except NotFound as problem:
        raise NotFound(problem.what, fix="Name a store: slipway up --root DIR") from problem
    chosen = settings.environment(environment)
    anchors.remember(folder / chosen.store, settings.project.name, settings.audit.anchor, base=folder)
    channels.remember(folder / chosen.store, settings.project.name, settings.notify)
    keep_port(folder / chosen.store, chosen.port)
    return folder, folder / chosen.store, chosen
