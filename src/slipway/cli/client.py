"""`slipway client`: what those who call an endpoint need, written from its contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from slipway.cli.door import Door, opened
from slipway.cli.predict import answers_at
from slipway.errors import Conflict

__all__ = ["client"]

_MARK = "Written by: slipway client"


class Written(Struct, frozen=True, kw_only=True):
    """The files that were written, and a line that asks the endpoint."""

    files: tuple[str, ...]
    curl: str


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help="Where to; ENDPOINT-client."
)
@opened
def client(door: Door, name: str, out: Path | None) -> None:
    """Write an OpenAPI description of ENDPOINT with its real fields, a typed Python client, and a line for curl."""
    from slipway.client import endpoint_openapi, endpoint_python

    detail = door.call("endpoints.get", name=name)
    revision, url = detail.revisions[0], answers_at(detail, name)
    target = out or Path(f"{name}-client")
    line = endpoint_openapi.curl(revision, url)
    described = endpoint_openapi.document(revision, url, simulated=detail.simulated)
    texts = {
        "openapi.json": json.dumps(described, indent=2, ensure_ascii=False) + "\n",
        f"{_module(name)}_client.py": endpoint_python.module(revision, url, simulated=detail.simulated),
        "curl.sh": f"# {_MARK} {name}\n{line}\n",
    }
    for file in texts:
        _check_ours(target / file)
    target.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (target / file).write_text(text, encoding="utf-8")
    door.show(Written(files=tuple(str(target / file) for file in texts), curl=line), _text)


def _module(name: str) -> str:
    """The endpoint's name as a name of Python's."""
    made = "".join(letter if letter.isalnum() else "_" for letter in name)
    return f"endpoint_{made}" if made[0].isdigit() else made


def _check_ours(path: Path) -> None:
    """What was written before is written anew; what somebody else wrote is left."""
    if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise Conflict(
            f"{path} is there already, and this command did not write it.", fix="Name another folder with --out."
        )


def _text(answer: Any) -> str:
    return "\n".join([*(f"written: {file}" for file in answer.files), "", answer.curl])
