"""What a project's server does for promotions into its environment: those that waited go on when they need not any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from slipway.errors import Conflict, Denied, SlipwayError
from slipway.flows.promote import promote, version_of
from slipway.flows.promotion_onward import may_go_on, workflow_of
from slipway.hosts.ledgers import is_store
from slipway.hosts.project import open_workspace
from slipway.hosts.settings import Settings, read_settings
from slipway.loop import CONTROLLER
from slipway.ports.workspace import Workspace
from slipway.records.promotions import Promotion

__all__ = ["go_on"]


def go_on(store: Workspace, home: Path, say: Callable[[str], None]) -> None:
    """Take further the promotions into a server's environment whose word was given, or whose roll-out has ended.

    Args:
        store: The server's.
        home: The project's folder, whose slipway.toml says where the environments before it are.
        say: Receives a line for each that did not come further.

    Raises:
        InvalidSetting: slipway.toml does not fit.
    """
    settings = read_settings(home)
    target = replace(store, project=settings.project.name, actor=CONTROLLER)
    for promotion in may_go_on(target):
        try:
            _go_on(target, promotion, home, settings)
        except Conflict as problem:  # somebody is at it right now, or it ended otherwise, which its record says
            say(f"The promotion of {promotion.name} {promotion.version} is left as it is: {problem}")
        except SlipwayError as problem:
            say(f"The promotion of {promotion.name} {promotion.version} does not go on: {problem}")


def _go_on(target: Workspace, promotion: Promotion, home: Path, settings: Settings) -> None:
    with ExitStack() as stack:
        others = [
            open_workspace(
                home / chosen.store,
                project=target.project,
                environment=name,
                actor=CONTROLLER,
                clock=target.clock,
                ledger=chosen.ledger,
                blobs=chosen.blobs,
                online=chosen.online,
                say=target.say,
            )
            for name, chosen in sorted({"dev": settings.environment("dev"), **settings.environments}.items())
            if name in ("dev", promotion.source) and not chosen.server and is_store(home / chosen.store)
        ]
        for one in others:
            stack.callback(one.ledger.close)
        source = next((one for one in others if one.environment == promotion.source), None)
        if source is None:
            return  # its store is not on this machine: whoever promotes goes on there
        promote(
            source,
            target,
            version_of(source, promotion.name, str(promotion.version)),
            workflow_of(promotion),
            endpoint=promotion.endpoint,
            others=others,
            ask=_ask,
        )


def _ask(url: str, endpoint: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """No token of the loop's opens an endpoint; see `may_go_on`."""
    raise Denied(
        f"The loop does not ask {endpoint!r}.", fix="Give the promotion's command again: it asks with your token."
    )
