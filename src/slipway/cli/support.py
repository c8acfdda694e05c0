"""`slipway support-bundle`: what whoever helps needs to know, and nothing that they must not."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.door import Way, way_options
from slipway.cli.layout import print_json
from slipway.errors import InvalidInput, NotFound, SlipwayError

if TYPE_CHECKING:
    from slipway.ports.workspace import Workspace

__all__ = ["support_bundle"]

_APP = "slipway.server.app"  # by name: doors do not import each other


@click.command("support-bundle")
@click.argument("output", metavar="OUT.zip", type=click.Path(path_type=Path, dir_okay=False))
@way_options
def support_bundle(way: Way, output: Path) -> None:
    """Write versions, what the doctor finds, settings without texts, sizes, and the ends of logs, for whoever helps.

    No rows, no values, no names of people and no secrets go in: docs/operations.md says what does. Read it before you send
    it.
    """
    from slipway.cli.doctor import look
    from slipway.hosts.ledgers import is_store
    from slipway.hosts.project import open_workspace
    from slipway.hosts.settings import FILE, find_folder, read_settings
    from slipway.hosts.support import made
    from slipway.whole_files import write_whole

    if output.exists():
        raise InvalidInput(f"{output} is there already.", fix="Name a new file.", field="output")
    root, ledger, blobs, file = way.root, None, "", None
    if root is None:
        try:
            home = find_folder(way.folder or Path())
            file = home / FILE
            chosen = read_settings(home).environment(way.environment)
            root, ledger, blobs = (None if chosen.server else home / chosen.store), chosen.ledger, chosen.blobs
        except NotFound:
            implicit = (way.folder or Path()) / ".slipway"
            root = implicit if implicit.is_dir() else None
        except SlipwayError:  # the doctor's finding says that they do not fit
            pass

    def opened() -> Workspace:
        if root is None or not is_store(root):  # opening would make one
            raise NotFound("There is no ledger.", fix="See the doctor's findings.")
        return open_workspace(
            root, project="", environment=way.environment, ledger=ledger, blobs=blobs, say=lambda line: None
        )

    routes: frozenset[str] = import_module(_APP).declared_routes()
    has_store = root is not None and root.is_dir()
    findings = []
    try:
        for one in look(way):
            findings.append((one.about, one.is_well, one.found))  # what was found before a fault counts
    except Exception as problem:  # whoever needs help most has what nobody foresaw
        findings.append(("doctor", False, type(problem).__name__))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, made(root if has_store else None, file, findings, opened, routes))
    if way.as_json:
        print_json({"file": str(output)})
    else:
        click.echo(f"Wrote {output}. Read it before you send it: it is a few text files.")
