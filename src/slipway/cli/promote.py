"""`slipway promote`: a version's way from one environment into the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.door import command
from slipway.cli.layout import columns, print_json
from slipway.errors import InvalidDeclaration, InvalidInput, InvalidSetting, NotFound
from slipway.hosts.ledgers import is_store
from slipway.hosts.settings import Settings, locate
from slipway.records.promotions import Promotion

if TYPE_CHECKING:
    from slipway.flows.promotion import Promotion as Workflow
    from slipway.hosts.project import Project

__all__ = ["MARKS", "promote", "promoted"]

_BEFORE = {"test": "dev", "prod": "test"}
MARKS = {"done": "✓", "failed": "✕", "waiting": "…", "under way": "→", "to do": "·"}
_WAITS = 75  # EX_TEMPFAIL: the same command again later is sensible


@command("promote")
@click.argument("model", metavar="MODEL[:VERSION]")
@click.option("--to", "target", required=True, metavar="NAME", help="The environment that it goes into: test, prod.")
@click.option("--from", "source", metavar="NAME", default="", help="Where it comes from: dev for test, test for prod.")
@click.option("--endpoint", default="", help="Where it is to serve; an endpoint of the model's name when missing.")
@click.option("--port", default=0, help="The port that the endpoint listens on; the former or a free one when missing.")
@click.option(
    "--trust", "key", default="", metavar="KEY", help="Let the target trust the key that signed it, from now on."
)
@click.option("--reason", default="", help="Why; it is kept with the promotion and in the audit log.")
@click.option("--status", "is_asked", is_flag=True, help="Say where it stands, change nothing.")
@click.option(
    "-C", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="The project's folder."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def promote(
    *,
    model: str,
    target: str,
    source: str,
    endpoint: str,
    port: int,
    key: str,
    reason: str,
    is_asked: bool,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Take a version of MODEL from one environment into the next, as far as it comes now.

    Each stage's state is kept: give the same command again to go on, after an approval as after a kill. The bytes are the
    same all the way. Without VERSION it is the newest one at the source; when it waits, the exit code is 75.
    """
    home, settings = locate(folder or Path())
    source = source or _before(target)
    name, _, version = model.partition(":")
    if is_asked:
        with (
            _opened(home, settings, source, must_be=True) as there,
            _opened(home, settings, target, must_be=True) as here,
        ):
            found = _status(there, here, name, version)
    else:
        found = promoted(
            home,
            settings,
            name,
            version or "latest",
            source=source,
            target=target,
            endpoint=endpoint,
            port=port,
            key=key,
            reason=reason,
        )
    if as_json:
        print_json(found)
    else:
        click.echo(_text(found))
    if found.state == "waiting" and not is_asked:
        raise click.exceptions.Exit(_WAITS)


def promoted(
    home: Path, settings: Settings, name: str, version: str, *, source: str = "", target: str, **more: Any
) -> Promotion:
    """A promotion as far as it comes now.

    Args:
        home: The project's folder.
        settings: Its slipway.toml.
        name: The model.
        version: At the source: a number, an alias or "latest".
        source: Where it comes from, "" for the environment before the target.
        target: Where it goes.
        more: `endpoint`, `port`, `before`, `reason` as `slipway.flows.promote.promote` has them; `key` to be trusted first.
    """
    source = source or _before(target)
    with ExitStack() as stack:
        there = stack.enter_context(_opened(home, settings, source, must_be=True))
        others = [
            stack.enter_context(_opened(home, settings, one, must_be=True)) for one in _earlier(home, settings, source)
        ]
        here = stack.enter_context(_opened(home, settings, target, must_be=False))
        return _promoted(there, here, others, name, version, **more)


def _before(target: str) -> str:
    if target not in _BEFORE:
        raise InvalidInput(
            f"Nobody knows what is before the environment {target!r}.",
            why="Only test (after dev) and prod (after test) have an order.",
            fix="Name it: --from dev",
            field="from",
        )
    return _BEFORE[target]


def _earlier(home: Path, settings: Settings, source: str) -> list[str]:
    """The environments before the source that have a store on this machine: their pages show the promotion, too."""
    before = _BEFORE.get(source, "")
    is_here = before and not settings.environment(before).server and is_store(home / settings.environment(before).store)
    return [before] if is_here else []


@contextmanager
def _opened(home: Path, settings: Settings, environment: str, *, must_be: bool) -> Iterator[Project]:
    from slipway.hosts.project import open_project

    chosen = settings.environment(environment)
    if chosen.server:
        raise InvalidSetting(
            f"The environment {environment!r} is kept by the server {chosen.server}.",
            why="A promotion copies bytes from store to store.",
            fix="Promote on a machine that reaches both stores: there slipway.toml names the store instead of the server.",
        )
    if must_be and not is_store(home / chosen.store):
        raise NotFound(
            f"The environment {environment!r} has no store yet: {home / chosen.store}.",
            fix="Train a model in dev, and promote it to test first.",
        )
    with open_project(home, environment=environment, say=_say) as found:
        yield found


def _promoted(
    there: Project,
    here: Project,
    others: Sequence[Project],
    name: str,
    version: str,
    *,
    endpoint: str = "",
    port: int = 0,
    key: str = "",
    before: str = "",
    reason: str = "",
) -> Promotion:
    from slipway.flows import promote as flow
    from slipway.flows.endpoint import Endpoint
    from slipway.flows.release import declare_endpoint

    found = flow.version_of(there.workspace, name, version)
    workflow = _workflow(here, there.workspace.environment)
    if key:
        flow.trust(there.workspace, here.workspace, key)
    here.declare_settings()  # who is accountable there is who slipway.toml says now
    declared = here.declared(Endpoint).get(endpoint or name)
    if declared is not None:
        declare_endpoint(here.workspace, declared, snapshot=here.snapshot())
    return flow.promote(
        there.workspace,
        here.workspace,
        found,
        workflow,
        endpoint=endpoint,
        features=declared.features if declared else None,
        others=[other.workspace for other in others],
        port=port,
        before=before,
        reason=reason,
        ask=_ask,
    )


def _workflow(project: Project, source: str) -> Workflow:
    """The one that the project declares for the environment, else the default one."""
    from slipway.flows.promotion import Promotion as Workflow
    from slipway.flows.promotion import default_for

    environment = project.workspace.environment
    declared = [one for one in project.declared(Workflow).values() if one.to == environment]
    if len(declared) > 1:
        raise InvalidDeclaration(
            f"The project declares {len(declared)} promotions to {environment!r}: "
            f"{', '.join(repr(one.name) for one in declared)}.",
            fix="Leave one.",
        )
    return declared[0] if declared else default_for(environment, is_first=source == "dev")


def _ask(url: str, endpoint: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    from slipway.client.endpoint import EndpointClient

    with EndpointClient(url, endpoint) as client:
        return [float(one["score"]) for one in client.predict(rows)["predictions"]]


def _status(there: Project, here: Project, name: str, version: str) -> Promotion:
    from slipway.flows.promote import version_of
    from slipway.flows.promotions import newest_of

    bundle = version_of(there.workspace, name, version).bundle if version else ""
    found = newest_of(here.workspace, name, here.workspace.environment, bundle=bundle)
    if found is None:
        which = f"{name} {version}".strip()
        raise NotFound(
            f"{which} was never promoted to {here.workspace.environment}.",
            fix=f"slipway promote {name}{f':{version}' if version else ''} --to {here.workspace.environment}",
        )
    return found


def _text(found: Promotion) -> str:
    head = f"{found.name} {found.version} from {found.source} to {found.target} ({found.workflow}): {found.state}"
    rows = [(MARKS[stage.state], stage.name, stage.sentence) for stage in found.stages]
    parts = [
        head,
        *([f"Because: {found.reason}"] if found.reason else []),
        "",
        columns(("", "stage", "what came of it"), rows, empty=""),
    ]
    for stage in found.stages:
        if stage.state == "waiting":
            again = f"slipway promote {found.name}:{found.version} --to {found.target}"
            people = {"Asked": stage.asked, "Consulted": stage.consulted, "Told": stage.informed}
            said = {what: ", ".join(names) for what, names in people.items() if names}
            said |= {"Next": stage.command, "Then": again}
            width = max(map(len, said)) + 2
            parts += ["", *(f"{f'{what}:':<{width}}{words}" for what, words in said.items())]
    return "\n".join(parts)


def _say(line: str) -> None:
    click.echo(line, err=True)
