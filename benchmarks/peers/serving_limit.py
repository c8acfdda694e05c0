"""The least that answers the same: `python serving_limit.py FOLDER PORT`; neither logged nor metered.

Typed decoding by msgspec, an encoder written for this pipeline, boosted trees in onnxruntime or a linear model folded into
a look-up, under uvicorn as a bare ASGI app.
"""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
known = json.loads((FOLDER / "limit.json").read_text())
NUMBERS, TEXTS = known["numbers"], known["texts"]
FILLED = list(zip(known["medians"], known["means"], known["scales"], strict=True))
_fields: list[Any] = [(name, float | None) for name in NUMBERS] + [(name, str | None) for name in TEXTS]
Row = msgspec.defstruct("Row", _fields)


class Asked(msgspec.Struct):
    rows: list[Row]  # type: ignore[valid-type]  # made at run time


def folded() -> Callable[[list[Any]], list[float]]:
    """A linear model: a slope a number, and a constant a category."""
    weights = known["weights"]
    slopes = [weight / scale for weight, (_, _, scale) in zip(weights, FILLED, strict=False)]
    start = known["intercept"] - sum(slope * mean for slope, (_, mean, _) in zip(slopes, FILLED, strict=True))
    medians, at = known["medians"], len(NUMBERS)
    tables = []
    for categories in known["categories"]:
        tables.append(dict(zip(categories, weights[at : at + len(categories)], strict=True)))
        at += len(categories)

    def scores(rows: list[Any]) -> list[float]:
        found = []
        for row in rows:
            values = msgspec.structs.astuple(row)
            total = start
            for value, slope, median in zip(values, slopes, medians, strict=False):
                total += slope * (median if value is None else value)
            for value, table in zip(values[len(slopes) :], tables, strict=True):
                total += table.get(value, 0.0)
            found.append(1.0 / (1.0 + math.exp(-total)))
        return found

    return scores


def boosted() -> Callable[[list[Any]], list[float]]:
    """Boosted trees: the encoder fills one matrix, onnxruntime scores it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(FOLDER / "trees.onnx", options, providers=["CPUExecutionProvider"])
    (asked,) = session.get_inputs()
    told = session.get_outputs()[1].name
    tables = []
    for categories in known["categories"]:
        hot = {value: tuple(float(value == other) for other in categories) for value in categories}
        tables.append((hot, (0.0,) * len(categories)))

    def scores(rows: list[Any]) -> list[float]:
        encoded = []
        for row in rows:
            values = msgspec.structs.astuple(row)
            line = [
                ((median if value is None else value) - mean) / scale
                for value, (median, mean, scale) in zip(values, FILLED, strict=False)
            ]
            for value, (hot, none) in zip(values[len(FILLED) :], tables, strict=True):
                line += hot.get(value, none)
            encoded.append(line)
        found: list[float] = session.run([told], {asked.name: np.array(encoded, np.float32)})[0][:, 1].tolist()
        return found

    return scores


decode, encode = msgspec.json.Decoder(Asked).decode, msgspec.json.Encoder().encode
score = folded() if "weights" in known else boosted()


async def app(scope: Any, receive: Any, send: Any) -> None:
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message.get("more_body"):
            break
    body = encode({"scores": score(decode(b"".join(parts)).rows)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


uvicorn.run(
    app, host="127.0.0.1", port=PORT, http="httptools", loop="uvloop", ws="none", lifespan="off", interface="asgi3",
    access_log=False, log_config=None, server_header=False, proxy_headers=False, timeout_keep_alive=75,
)  # fmt: skip
