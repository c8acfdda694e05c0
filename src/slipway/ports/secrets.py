"""Where secrets are kept: an environment variable, a file, or what a command prints; never in settings or records.

What a setting says is read anew whenever a connection is made, so that a secret that changed counts without a restart.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import quote

from slipway.errors import InvalidSetting

__all__ = ["FORMS", "filled", "is_kept_elsewhere", "is_reference", "read_secret"]

FORMS = ("env:", "file:", "command:")
"""How a setting begins that names where a secret is kept."""

_REFERENCE = re.compile(r"\$\{((?:file:|command:)[^}]+|[A-Za-z_][A-Za-z0-9_]*)\}")
_MOST_BYTES = 1 << 16
_WITHIN_S = 30


def is_kept_elsewhere(text: str) -> bool:
    """Whether a text names where a secret is kept, instead of being one."""
    return text.startswith(FORMS)


def is_reference(text: str) -> bool:
    """Whether a text is `${NAME}`, `${file:/path}` or `${command:...}`, and nothing else."""
    return bool(_REFERENCE.fullmatch(text))


def filled(text: str, *, is_quoted: bool = False) -> str:
    """A text whose references stand for what they name: `${NAME}`, `${file:/path}`, `${command:...}`.

    Args:
        text: Or one that names as a whole where it is kept.
        is_quoted: Whether values are written as URLs write them.

    Raises:
        InvalidSetting: A secret cannot be read.
    """
    if is_kept_elsewhere(text):
        return read_secret(text)

    def value(found: re.Match[str]) -> str:
        named = found[1] if is_kept_elsewhere(found[1]) else f"env:{found[1]}"
        return quote(read_secret(named), safe="") if is_quoted else read_secret(named)

    return _REFERENCE.sub(value, text)


def read_secret(text: str) -> str:
    """The secret that a text names: "env:NAME", "file:/path" or "command:..."; any other text stands for itself.

    Raises:
        InvalidSetting: The variable is not set, the file cannot be read or is empty, the command fails or prints nothing.
    """
    form, _, named = text.partition(":")
    if not is_kept_elsewhere(text):
        return text
    value = {"env": _of_environment, "file": _of_file, "command": _of_command}[form](named)
    if not value:
        raise InvalidSetting(
            f"The secret {text!r} is empty.", fix="Put the secret there; a line's end after it is cut off."
        )
    return value


def _of_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InvalidSetting(
            f"The environment variable {name} is not set, which names a secret.",
            why="Passwords are never kept in slipway.toml, in records or in an endpoint's folder.",
            fix=f"Set it where the project, the server and the endpoints run: export {name}=...",
        )
    return value


def _of_file(name: str) -> str:
    path = Path(name).expanduser()
    if not path.is_absolute():
        raise InvalidSetting(
            f"The file of the secret 'file:{name}' has no absolute path.",
            why="Servers and endpoints stand in other folders than the project.",
            fix="Write it from the root: file:/run/secrets/password",
        )
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) <= _MOST_BYTES:
            return content.decode().rstrip("\r\n")
        problem = f"it has more than {_MOST_BYTES:,} bytes"
    except OSError as error:
        problem = str(error.strerror)
    except UnicodeDecodeError:
        problem = "it is no text"
    raise InvalidSetting(
        f"The secret 'file:{name}' cannot be read: {problem}.", fix="Let the file hold the secret, and nothing else."
    )


def _of_command(line: str) -> str:
    shown = f"'command:{line}'"
    try:
        words = shlex.split(line)
        ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN_S, check=False)
        if ended.returncode == 0 and len(ended.stdout) <= _MOST_BYTES:
            return ended.stdout.decode().rstrip("\r\n")
        # What it printed may be the secret itself, so that it is not shown.
        problem = f"it ended with exit code {ended.returncode}" if ended.returncode else "it printed too much"
    except subprocess.TimeoutExpired:
        problem = f"it did not end within {_WITHIN_S} seconds"
    except (OSError, ValueError, IndexError, UnicodeDecodeError) as error:
        problem = str(getattr(error, "strerror", "") or type(error).__name__)
    raise InvalidSetting(
        f"The command of the secret {shown} gave none: {problem}.",
        why="It is run without a shell, and what it prints is the secret.",
        fix="Run it by hand, as the account that runs Slipway.",
    )
