"""A real `slipway up` on a free port."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def up(root: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the server over a store; gives its address and its process, and stops it afterwards."""
    command = [
        sys.executable,
        "-c",
        "from slipway.cli import main; main()",
        "up",
        "--root",
        str(root),
        "--port",
        "0",
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        told = ""  # what it could not take in, it says before its address
        while (found := re.search(r"https?://[^\s\"]+", told)) is None:
            line = process.stdout.readline()
            assert line, told
            told += line
        yield found[0], process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
