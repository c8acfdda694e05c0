"""What a server does in the project's other environments: it gives the commands that a person would give in its folder.

Each is a process of its own: it imports the project's code, which a server never does, and opens the other stores.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

import msgspec

from slipway.errors import BackendError, InvalidInput, SlipwayError
from slipway.governance.people import somebody_is_known
from slipway.hosts.identity import TOKEN_VARIABLE
from slipway.hosts.ledgers import is_store, open_ledger
from slipway.hosts.settings import Settings, read_settings
from slipway.operations.wire import error_from
from slipway.records.promotions import Promotion, PromotionPlace

__all__ = ["ByCommand"]

_BEFORE = {"test": "dev", "prod": "test"}
_PATIENCE_S = 60.0
_WAITS = 75
_PROGRAM = ("-c", "from slipway.cli import main; main()")
_LAST_SAID = 2000


class ByCommand:
    """The environments of the project in a folder; see `slipway.ports.workspace.Environments`.

    Args:
        home: The project's folder.
        environment: The server's own.
        patience_s: How long a command is waited for, in seconds of machine time; it goes on afterwards.
    """

    def __init__(self, home: Path, environment: str, *, patience_s: float = _PATIENCE_S) -> None:
        self._home = home
        self._environment = environment
        self._patience_s = patience_s

    def places(self, project: str) -> tuple[PromotionPlace, ...]:
        """See `Environments.places`."""
        settings = read_settings(self._home)
        if settings.project.name != project:
            return ()
        known = {"dev", *settings.environments}
        return tuple(
            self._place(settings, target, source)
            for target, source in _BEFORE.items()
            if target in known and source in known
        )

    def promote(
        self,
        place: PromotionPlace,
        model: str,
        version: str,
        *,
        endpoint: str = "",
        key: str = "",
        reason: str = "",
        tokens: Mapping[str, str],
    ) -> Promotion | None:
        """See `Environments.promote`."""
        words = ["promote", f"--to={place.target}", f"--from={place.source}"]
        words += [f"--endpoint={endpoint}"] if endpoint else []
        words += [f"--trust={key}"] if key else []
        words += [f"--reason={reason}"] if reason else []
        said = self._carried_out([*words, "--", f"{model}:{version}"], place.tokens, tokens)
        return None if said is None else msgspec.json.decode(said, type=Promotion)

    def approve(
        self,
        place: PromotionPlace,
        model: str,
        version: str,
        *,
        role: str,
        reject: bool,
        comment: str,
        tokens: Mapping[str, str],
    ) -> None:
        """See `Environments.approve`."""
        words = ["approve", f"--env={place.target}", f"--version={version}", f"--role={role}", f"--comment={comment}"]
        words += ["--reject"] if reject else []
        self._carried_out([*words, "--", model], place.tokens, tokens)

    def _place(self, settings: Settings, target: str, source: str) -> PromotionPlace:
        moved = [source, target, *(["dev"] if source == "test" else [])]  # dev's pages show where it stands, too
        used = list(dict.fromkeys([self._environment, *moved]))
        chosen = {one: settings.environment(one) for one in used}
        kept = [one for one in used if chosen[one].server]
        if kept:
            obstacle = (
                f"The environment {kept[0]!r} is kept by the server {chosen[kept[0]].server}, not on this machine."
            )
            return PromotionPlace(target=target, source=source, obstacle=obstacle)
        known = tuple(one for one in used if self._knows_people(settings, one))
        obstacle = ""
        if self._environment in known and len(known) < len(used):
            nobody = next(one for one in used if one not in known)
            obstacle = f"The store of {nobody} knows nobody, so it cannot say who acts there: add people to it first."
        return PromotionPlace(
            target=target,
            source=source,
            tokens=tuple(one for one in known if one in moved),
            obstacle=obstacle,
            is_one_store=chosen[source].store == chosen[target].store,
        )

    def _knows_people(self, settings: Settings, environment: str) -> bool:
        chosen = settings.environment(environment)
        root = self._home / chosen.store
        if not is_store(root):
            return False
        with closing(open_ledger(root, chosen.ledger)) as ledger, ledger.read() as tx:
            return somebody_is_known(tx)

    def _carried_out(self, words: Sequence[str], asked: Sequence[str], tokens: Mapping[str, str]) -> bytes | None:
        """What a command said in JSON; None where it is not through yet.

        Raises:
            SlipwayError: What it said went wrong.
        """
        if any("\0" in text for text in (*words, *tokens.values())):
            raise InvalidInput("A zero byte is no part of a name, a reason or a token.", fix="Leave it out.")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(TOKEN_VARIABLE)}
        for name in asked:  # of these alone: whatever this process may do is nothing that a caller may
            variables[f"{TOKEN_VARIABLE}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"] = tokens.get(name, "").strip()
        command = [sys.executable, *_PROGRAM, words[0], "-C", str(self._home), "--json", *words[1:]]
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
            process = subprocess.Popen(
                command,
                cwd=self._home,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                start_new_session=True,  # a stop of the server does not stop it half-way
            )
            try:
                code = process.wait(self._patience_s)
            except subprocess.TimeoutExpired:
                threading.Thread(target=process.wait, name="slipway-command", daemon=True).start()
                return None
            if code in (0, _WAITS) and (answer := _read(said)):
                return answer
            raise _problem(_read(complained).decode("utf-8", "replace"), words[0])


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _problem(text: str, command: str) -> SlipwayError:
    """The error that a command said last; lines of progress come before it."""
    for line in reversed(text.strip().splitlines()):
        try:
            found = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(found, dict) and isinstance(found.get("error"), dict):
            return error_from(found["error"])
    return BackendError(
        f"`slipway {command}` ended without an answer: {text.strip()[-_LAST_SAID:] or 'it said nothing'}",
        fix="Give the command in the project's folder to see more.",
    )
