"""How a command reaches a project: here through its store, or over HTTP where the environment names a server.

The result is the same either way: both sides call the operation of the same name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from slipway.cli.layout import print_json
from slipway.errors import InvalidInput
from slipway.hosts import on_demand
from slipway.hosts.environment_use import using
from slipway.hosts.identity import shown_token
from slipway.hosts.ledgers import is_store
from slipway.hosts.project import Project, open_project, open_workspace
from slipway.hosts.settings import locate
from slipway.ledger.projects import check_known
from slipway.operations import declare, wire
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, current_workspace

__all__ = ["Door", "Way", "command", "json_option", "opened", "way_options"]

F = TypeVar("F", bound=Callable[..., Any])


class Door:
    """An open way to one project.

    Args:
        name: The project's name.
        send: Performs an operation (declaration, request struct) and returns the response.
        project: The project with its code and store, None without a checkout or behind a server.
        workspace: The store, None behind a server.
        as_json: Whether the command answers in JSON.
        server: The server's URL, "" for a store that is opened here.
        simulated: Gives the project's simulated tables.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[declare.Operation, Any], Any],
        *,
        project: Project | None = None,
        workspace: Workspace | None = None,
        as_json: bool = False,
        server: str = "",
        simulated: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self.name = name
        self.server = server
        self.as_json = as_json
        self._send = send
        self._project = project
        self._workspace = workspace
        self._simulated = simulated

    def call(self, name: str, /, **fields: Any) -> Any:
        """Call an operation by name; returns its response struct."""
        return self.perform(name, fields)

    def perform(self, name: str, fields: dict[str, Any], *, texts: bool = False) -> Any:
        """Call an operation with fields that may still be text, as a command line gives them."""
        wanted = operation(name)
        return self._send(wanted, declare.convert(wanted, fields, texts=texts))

    def show(self, response: Any, render: Callable[[Any], str]) -> None:
        """Print a response: as JSON where that was asked for, else as `render` words it. Either says what is simulated."""
        tables = self._simulated()
        if self.as_json:
            click.echo(wire.marked(wire.encode(response), tables).decode())
            return
        click.echo(render(response))
        if tables:
            click.echo(f"SIMULATED: rows of {', '.join(tables)} are made up. No figure that comes of them is real.")

    @property
    def project(self) -> Project:
        """The project with its code.

        Raises:
            InvalidInput: This door leads to a store or server without the project's code.
        """
        if self._project is None:
            raise InvalidInput(
                f"This command needs the code of the project {self.name!r}.",
                why=f"It was reached {'at ' + self.server if self.server else 'through its store only'}.",
                fix="Run it in the project's folder (or name it with -C), in an environment without a server.",
            )
        return self._project

    @property
    def checkout(self) -> Project | None:
        """The project with its code, None where it was reached without."""
        return self._project

    @property
    def workspace(self) -> Workspace:
        """The project's store.

        Raises:
            InvalidInput: It lies behind a server.
        """
        if self._workspace is None:
            raise InvalidInput(
                f"This command needs the store of {self.name!r}, which {self.server} keeps.",
                fix="Run it on the server's machine: add --root DIR --project NAME.",
            )
        return self._workspace


@dataclass(frozen=True, slots=True)
class Way:
    """What a command line says about the project that it is for.

    Args:
        folder: Where to begin looking for slipway.toml, None for the present folder.
        root: A store's folder, to go without a checkout; then `project` is needed too.
        project: The project's name, with `root`.
        environment: Which environment.
        as_json: Whether the command answers in JSON.
    """

    folder: Path | None = None
    root: Path | None = None
    project: str | None = None
    environment: str = "dev"
    as_json: bool = False

    @contextmanager
    def open(self, *, implicit: bool = False) -> Iterator[Door]:
        """Open the way to the project.

        Args:
            implicit: Whether a folder without slipway.toml becomes a project of its own name.

        Raises:
            NotFound: There is no slipway.toml, environment or project of that name.
            InvalidInput: Only one of `root` and `project` is given.
        """
        if self.root is not None or self.project is not None:
            with _open_store(self.root, self.project, self.environment) as workspace:
                send, made_up = _perform_in(workspace), _simulated_in(workspace)
                yield Door(workspace.project, send, workspace=workspace, as_json=self.as_json, simulated=made_up)
            return
        home, settings = locate(self.folder or Path(), implicit=implicit)
        on_demand.look_after(home, _say)
        server = settings.environment(self.environment).server
        if server:
            from slipway.client.api import Client

            with Client(server, settings.project.name, shown_token(self.environment)) as client:
                yield Door(
                    client.project,
                    client.perform,
                    as_json=self.as_json,
                    server=server,
                    simulated=lambda: client.simulated,
                )
            return
        with open_project(home, environment=self.environment, say=_say, implicit=implicit) as found:
            send = _perform_in(found.workspace)
            yield Door(
                found.name,
                send,
                project=found,
                workspace=found.workspace,
                as_json=self.as_json,
                simulated=_simulated_in(found.workspace),
            )


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command with `--json`: it prints what the function returns, as JSON and only when that was asked for.

    A function that needs a project is wrapped by `opened` or `way_options` below this decorator.

    Args:
        name: The command's name.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        has_option = any(option.name == "as_json" for option in getattr(function, "__click_params__", ()))

        @wraps(function)
        def printing(*, as_json: bool, **rest: Any) -> None:
            answer = function(as_json=as_json, **rest) if has_option else function(**rest)
            if as_json and answer is not None:
                print_json(answer)

        return click.command(name)(printing if has_option else json_option(printing))

    return decorate


def json_option(function: F) -> F:
    """Add `--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(function)


def way_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name a project, and the still closed `Way` as its first argument."""

    @click.option("-C", "folder", metavar="DIR", type=_FOLDER, help="The project's folder; the present one if missing.")
    @click.option("--env", "environment", metavar="NAME", default="dev", show_default=True, help="The environment.")
    @click.option("--root", metavar="DIR", type=_FOLDER, help="A store's folder, to go without the project's code.")
    @click.option("--project", metavar="NAME", help="The project's name, with --root.")
    @json_option
    @wraps(function)
    def command(
        *, folder: Path | None, environment: str, root: Path | None, project: str | None, as_json: bool, **rest: Any
    ) -> Any:
        return function(Way(folder, root, project, environment, as_json), **rest)

    return command


def opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name a project, and an open `Door` as its first argument."""

    @wraps(function)
    def through(way: Way, **rest: Any) -> Any:
        with way.open() as door:
            return function(door, **rest)

    return way_options(through)


_FOLDER = click.Path(path_type=Path, file_okay=False)


@contextmanager
def _open_store(root: Path | None, project: str | None, environment: str) -> Iterator[Workspace]:
    if root is None or project is None:
        given, missing = ("--project", "--root DIR") if root is None else ("--root", "--project NAME")
        raise InvalidInput(f"{given} is given without {missing.split()[0]}.", fix=f"Add {missing}.")
    if not is_store(root):
        raise InvalidInput(
            f"{root} is not a store.",
            why="A store's folder holds a file ledger.db, or ledger.url where its ledger is in a database.",
            fix="Name the folder that `slipway up --root` serves, or a project's .slipway.",
            field="root",
        )
    with using(root):
        workspace = open_workspace(root, project=project, environment=environment, say=_say)
        try:
            check_known(workspace)
            with current_workspace.filled(workspace):
                yield workspace
        finally:
            workspace.ledger.close()


def _perform_in(workspace: Workspace) -> Callable[[declare.Operation, Any], Any]:
    return lambda wanted, request: declare.call(workspace, wanted, request)


def _simulated_in(workspace: Workspace) -> Callable[[], tuple[str, ...]]:
    def tables() -> tuple[str, ...]:
        from slipway.tables.catalog import simulated_tables

        return simulated_tables(workspace)

    return tables


def _say(line: str) -> None:
    click.echo(line, err=True)
