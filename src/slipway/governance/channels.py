"""Which channels a project's settings name, kept in the store's folder for whoever tells from there; secrets are only named."""

from __future__ import annotations

from pathlib import Path

import msgspec

from slipway.errors import Corrupt
from slipway.records.notifications import NotifySettings
from slipway.whole_files import write_whole

__all__ = ["NOTIFY_FILE", "every_setting", "notify_settings", "remember"]

NOTIFY_FILE = "notify.json"
"""In a store's folder."""


def remember(root: Path, project: str, settings: NotifySettings) -> None:
    """Keep in a store's folder how a project's settings want people told.

    Args:
        root: The store's folder.
        project: Whose settings.
        settings: As slipway.toml has them.
    """
    kept = _kept(root)
    wanted = {name: one for name, one in sorted({**kept, project: settings}.items()) if one != NotifySettings()}
    if wanted != kept:
        root.mkdir(parents=True, exist_ok=True)
        write_whole(root / NOTIFY_FILE, msgspec.json.format(msgspec.json.encode(wanted)))


def notify_settings(root: Path, project: str) -> NotifySettings:
    """How people of a project are told; the defaults, without any channel, where its settings say nothing.

    Raises:
        Corrupt: What the folder remembers cannot be read.
    """
    return _kept(root).get(project, NotifySettings())


def every_setting(root: Path) -> dict[str, NotifySettings]:
    """By project, what a store's folder remembers.

    Raises:
        Corrupt: It cannot be read.
    """
    return _kept(root)


def _kept(root: Path) -> dict[str, NotifySettings]:
    path = root / NOTIFY_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, NotifySettings])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as problem:
        raise Corrupt(
            f"{path} cannot be read: {problem}.",
            fix="Remove it, and run a command in the project's folder: it is written from slipway.toml.",
        ) from problem
