"""`slipway story`: what the loop did at an endpoint, from alarm to outcome."""

from __future__ import annotations

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, instant
from slipway.operations.responsibility import whom
from slipway.operations.rollouts import Stories, Story

__all__ = ["story"]


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--limit", type=click.IntRange(1), default=5, show_default=True, help="How many stories.")
@opened
def story(door: Door, name: str, limit: int) -> None:
    """Tell what the loop did at ENDPOINT: each alarm, what was decided, and what came of it. The newest story is last."""
    door.show(door.call("loop.stories", endpoint=name, limit=limit), _text)


def _text(answer: Stories) -> str:
    parts = [_story_text(one) for one in reversed(answer.stories)]
    if answer.more:
        parts.insert(0, f"{answer.more} earlier, with a greater --limit.")
    return "\n\n".join(
        [*(parts or ["The loop has done nothing here yet."]), *([answer.sentence] if answer.sentence else [])]
    )


def _story_text(found: Story) -> str:
    policy = f", {found.policy}" if found.policy else ""
    rows = [
        (instant(line.at), line.what, f"{line.sentence} (told to {whom(line.owner)})" if line.owner else line.sentence)
        for line in found.lines
    ]
    return f"Story {found.number}{policy}: {found.outcome}\n{columns(('when (UTC)', 'what', 'why'), rows, empty='')}"
