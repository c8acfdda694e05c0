"""Files that somebody stored with a run: honest ones of every kind that pages show, and ones that try to break out."""

import io
import json
import struct
import zlib
from base64 import b64encode

import polars as pl

SCRIPT = '<script>document.title = "broken in"; fetch("/broken-in")</script>'
HANDLER = '<img src="/broken-in" onerror="document.title = 1">'
PAGE = f"<!doctype html><title>a page</title>{SCRIPT}{HANDLER}".encode()
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" onload="document.title = 1">'
    f'<rect width="40" height="20" fill="teal"/>{SCRIPT}<image href="/broken-in"/></svg>'
).encode()
MARKDOWN = (
    f"# Notes\n\n[click](javascript:alert(1)) {SCRIPT} {HANDLER}\n\n```\n</pre>{SCRIPT}\n```\n\n1. first\n2. *second*\n"
)


def png(width: int = 24, height: int = 16) -> bytes:
    """A picture: one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x20\x80\x90" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def notebook() -> bytes:
    """A notebook with every kind of output, each of which tries something."""
    picture = b64encode(png()).decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": [f"printed {SCRIPT}\n"]},
        {"output_type": "stream", "name": "stderr", "text": "\x1b[31mred\x1b[0m"},
        {"output_type": "execute_result", "data": {"text/plain": "a frame", "text/html": f"<table>{SCRIPT}</table>"}},
        {"output_type": "display_data", "data": {"image/png": picture, "text/plain": '"><script>'}},
        {"output_type": "display_data", "data": {"image/jpeg": b64encode(PAGE).decode(), "text/plain": "no jpeg"}},
        {"output_type": "display_data", "data": {"image/svg+xml": DRAWING.decode()}},
        {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}},
        {
            "output_type": "error",
            "ename": "KeyError",
            "evalue": "x",
            "traceback": [f"\x1b[0;31mKeyError\x1b[0m {SCRIPT}"],
        },
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", f"[x](javascript:alert(1)) {SCRIPT}"]},
        {"cell_type": "code", "source": f"x = '{SCRIPT}'", "execution_count": 1, "outputs": outputs},
        {"cell_type": "raw", "source": SCRIPT},
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def frame() -> bytes:
    """Rows as Parquet."""
    sink = io.BytesIO()
    pl.DataFrame({"carrier": ["AA", SCRIPT], "delay": [1.5, None]}).write_parquet(sink)
    return sink.getvalue()


FILES: dict[str, bytes] = {
    "plots/roc.png": png(),
    "plots/no picture.png": PAGE,
    "page.html": PAGE,
    "drawing.svg": DRAWING,
    "notes.md": MARKDOWN.encode(),
    "notebook.ipynb": notebook(),
    "rows.csv": f'carrier,delay\nAA,"1,5"\n"{SCRIPT.replace(chr(34), chr(34) * 2)}",\n'.encode(),
    "rows.parquet": frame(),
    "no rows.parquet": b"PAR1" + PAGE + b"PAR1",
    "mlflow table.json": json.dumps({"columns": ["a"], "data": [[SCRIPT], [2]]}).encode(),
    "settings.json": json.dumps({"folds": 5, "note": SCRIPT}).encode(),
    f"<b onclick=x>{'ö' * 3}.txt": SCRIPT.encode(),
    "model": bytes(1_500_000),
}
