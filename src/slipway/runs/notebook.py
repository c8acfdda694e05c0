"""The notebook that a run is started in: the cells that were executed so far, and what is known of their outputs.

A notebook's file says what was saved, perhaps long ago and by somebody else; IPython's history says what ran, in which
order. So the history is what a run keeps.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from pathlib import PurePosixPath
from typing import Any

import msgspec

from slipway.ledger import provenance
from slipway.ledger.run_log import RunLog
from slipway.records.runs import Artifact

__all__ = ["attach", "executed", "file_name"]

_NAME = "notebook.ipynb"
_OUTPUT_CHARACTERS = 4_000_000
_STREAMS = {"out_stream": "stdout", "err_stream": "stderr"}


def attach(log: RunLog) -> None:
    """Store the cells that were executed so far with a run, as `notebook.ipynb` or the next free name.

    Nothing happens outside IPython, and for a run inside a run: the outer one has them.
    """
    data = None if log.run.parent_id else executed()
    if data is None:
        return
    taken = {artifact.name for artifact in log.run.artifacts}
    name, number = _NAME, 1
    while name in taken:
        number += 1
        name = f"notebook-{number}.ipynb"
    digest = log.workspace.blobs.put(data)
    log.add_artifact(Artifact(name=name, digest=digest, fingerprint=digest, format="bytes", size_bytes=len(data)))


def file_name() -> str:
    """What the notebook around is called: "train.ipynb"; "" outside notebooks, and where its front end does not say.

    VS Code says it as a variable of the notebook, Jupyter's server as a variable of the kernel's environment.
    """
    shell = _shell()
    if shell is None:
        return ""
    for told in (shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        name = PurePosixPath(str(told or "").replace("\\", "/")).name
        if name.endswith(".ipynb"):
            return name
    return ""


def executed() -> bytes | None:
    """The executed cells as a notebook of format 4; None outside IPython.

    What is printed by the cell that is under way is not known yet. Values of environment variables that look like secrets
    are masked, and outputs are left out beyond 4 million characters.
    """
    shell = _shell()
    if shell is None:
        return None
    history = shell.history_manager
    outputs, exceptions = getattr(history, "outputs", {}), getattr(history, "exceptions", {})
    cells: list[dict[str, Any]] = []
    room = _OUTPUT_CHARACTERS
    for number, source in enumerate(history.input_hist_raw):
        if not source.strip():
            continue
        shown: list[dict[str, Any]] = []
        for output in [*map(_output, outputs.get(number, ())), *_error(exceptions.get(number))]:
            room -= len(msgspec.json.encode(output))
            if room >= 0:
                shown.append(_numbered(output, number))
        cells.append(
            {
                "cell_type": "code",
                "execution_count": number,
                "id": f"cell-{number}",
                "metadata": {},
                "outputs": shown,
                "source": _said(source),
            }
        )
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "slipway": {"file": file_name()}}
    return msgspec.json.encode({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


def _shell() -> Any:
    """IPython's shell around this code, None where there is none. IPython is never imported for this."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if get_ipython is None else get_ipython()


def _output(kept: Any) -> dict[str, Any]:
    """One of IPython's `HistoryOutput`s as nbformat has it."""
    stream = _STREAMS.get(kept.output_type)
    if stream is not None:
        return {
            "output_type": "stream",
            "name": stream,
            "text": _said("".join(map(_text, kept.bundle.values()))),
        }
    data = {str(kind): _plain(value) for kind, value in kept.bundle.items()}
    return {"output_type": kept.output_type, "metadata": {}, "data": data}


def _numbered(output: dict[str, Any], number: int) -> dict[str, Any]:
    return output | {"execution_count": number} if output["output_type"] == "execute_result" else output


def _error(raised: Any) -> list[dict[str, Any]]:
    if raised is None:
        return []
    trace = [_said(_text(line)) for line in raised.get("traceback", ())]
    told = {key: _said(_text(raised.get(key, ""))) for key in ("ename", "evalue")}
    return [{"output_type": "error", "traceback": trace, **told}]


def _plain(value: Any) -> Any:
    """The data of one kind: text; bytes of a picture as base64; values of JSON kinds as they are, where they are plain."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, str):
        return _said(value)
    try:
        return msgspec.to_builtins(value, str_keys=True)
    except (TypeError, ValueError, RecursionError):
        return _said(str(value))


def _said(text: str) -> str:
    """A text without secrets, and without halves of letters, which JSON cannot say."""
    return provenance.without_secrets(text).encode("utf-8", "replace").decode()


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
