"""Finds secrets that stand in a settings file as they are, instead of where they are kept."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["plain_secrets"]

_NAMED = re.compile(r"(passw(or)?d|secret|token|api_?key|credential|private_?key)", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/@\s:]*:([^@/\s]+)@|[?&](?:password|token|key|sig)=([^&\s]+)", re.IGNORECASE)
_TOKEN = re.compile(r"\b(slw_[0-9a-f]{32}_|AKIA[0-9A-Z]{16}|ghp_\w{20}|xox[bp]-|-----BEGIN [A-Z ]*PRIVATE KEY)")
_ELSEWHERE = re.compile(r"(env|file|command):.+|\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def plain_secrets(file: Path) -> list[str]:
    """The keys of a TOML file under which a secret itself stands, without the secrets.

    Args:
        file: Readable TOML; one that cannot be read has none that could be told.
    """
    try:
        values = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return []
    return sorted({key for key, value in _texts("", values) if _is_secret(key, value)})


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(f"{place}.{name}" if place else name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(place, inner)
    elif isinstance(value, str):
        yield place, value


def _is_secret(key: str, value: str) -> bool:
    if not value or _ELSEWHERE.fullmatch(value):
        return False
    in_url = [first or second for first, second in _IN_URL.findall(value)]
    if any(not _ELSEWHERE.fullmatch(secret) for secret in in_url) or _TOKEN.search(value):
        return True
    return bool(_NAMED.search(key.rpartition(".")[2]))
