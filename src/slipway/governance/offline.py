"""Verify an export of Slipway's audit log, offline: `python verify.py` in the unpacked folder. It needs nothing but Python 3.9.

It checks that every file is the one that the export's signed list names, that each root is signed by a key in `keys/` and
follows the one before it, and that every event under a root is the one that was sealed. It ends with 0, or says what
does not hold and ends with 1. Compare the key that it prints with the one that you were given on another way.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

__all__ = ["blake3", "check", "is_signed"]

_MASK = 0xFFFFFFFF
_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_MIXES = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)

_ROOT_TYPE = "application/vnd.slipway.root+json"
_LIST_TYPE = "application/vnd.slipway.export+json"


class Fault(Exception):
    """What does not hold, in a sentence."""


def blake3(data: bytes) -> str:
    """The digest of bytes, 64 hex digits. Source: the BLAKE3 paper, section 2."""
    chunks = [data[i : i + 1024] for i in range(0, len(data), 1024)] or [b""]
    if len(chunks) == 1:
        return struct.pack("<8I", *_chunk(chunks[0], 0, _ROOT)[:8]).hex()
    level = [tuple(_chunk(chunk, number, 0)[:8]) for number, chunk in enumerate(chunks)]
    while len(level) > 2:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [_joined(pair[0], pair[1], 0) if len(pair) == 2 else pair[0] for pair in pairs]
    return struct.pack("<8I", *_joined(level[0], level[1], _ROOT)).hex()


def _chunk(chunk: bytes, number: int, last: int) -> list[int]:
    blocks = [chunk[i : i + 64] for i in range(0, len(chunk), 64)] or [b""]
    chained = list(_IV)
    for place, block in enumerate(blocks):
        flags = (_CHUNK_START if place == 0 else 0) | (_CHUNK_END | last if place == len(blocks) - 1 else 0)
        words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
        chained = _compressed(chained, words, number, len(block), flags)
    return chained


def _joined(left: tuple[int, ...], right: tuple[int, ...], flags: int) -> tuple[int, ...]:
    return tuple(_compressed(list(_IV), [*left, *right], 0, 64, _PARENT | flags))


def _compressed(chained: list[int], words: list[int], counter: int, length: int, flags: int) -> list[int]:
    v = [*chained, *_IV[:4], counter & _MASK, counter >> 32, length, flags]
    m = words
    for turn in range(7):
        for place, (a, b, c, d) in enumerate(_MIXES):
            for word, first, second in ((m[2 * place], 16, 12), (m[2 * place + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & _MASK
                x = v[d] ^ v[a]
                v[d] = (x >> first | x << (32 - first)) & _MASK
                v[c] = (v[c] + v[d]) & _MASK
                x = v[b] ^ v[c]
                v[b] = (x >> second | x << (32 - second)) & _MASK
        if turn < 6:
            m = [m[i] for i in _ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds. Source: RFC 8032, section 5.1.7."""
    if len(signature) != 64 or len(public) != 32:
        return False
    key, nonce = _point(public), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    left, right = _times(s, _BASE), _sum(nonce, _times(h, key))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


_Point = tuple[int, int, int, int]


def _point(data: bytes) -> "_Point | None":
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return (x, y, 1, x * y % _P)


def _sum(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(n: int, p: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = _sum(result, p)
        p, n = _sum(p, p), n >> 1
    return result


_base = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
assert _base is not None
_BASE = _base


def check(folder: Path) -> list[str]:
    """Check an unpacked export.

    Args:
        folder: Where it lies.

    Returns:
        What holds, in sentences.

    Raises:
        Fault: What does not.
    """
    keys = {}
    for file in sorted((folder / "keys").glob("*.pub")):
        if blake3(file.read_bytes())[:16] != file.stem:
            raise Fault(f"The key {file.name} is not the one that its name says.")
        keys[file.stem] = file.read_bytes()
    listed = json.loads(_opened((folder / "files.json").read_bytes(), _LIST_TYPE, keys, "files.json"))
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(present - set(listed) - {"files.json"}):
        raise Fault(f"The file {name} is not in the export's list: it was added.")
    for name, expected in sorted(listed.items()):
        if name not in present:
            raise Fault(f"The file {name} is missing.")
        if blake3((folder / name).read_bytes()) != expected:
            raise Fault(f"The file {name} was altered.")
    roots = (folder / "roots.jsonl").read_bytes().splitlines()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    leaves = {event["seq"]: _leaf(event) for event in events}
    proven = _chained(roots, leaves, keys)
    shown = sum("event" in event for event in events)
    unsealed = sum("event" in event and event["seq"] > proven for event in events)
    return [
        f"{len(listed)} files are those of the signed list.",
        f"{len(roots)} roots are signed and follow each other.",
        f"{shown - unsealed} events are those that were sealed; {unsealed} were not sealed yet.",
        f"Signed by: {', '.join(sorted(keys))}.",
    ]


def _leaf(event: "dict[str, object]") -> str:
    """An event's leaf: of its own text, or as it was given where the event is another project's or of another time."""
    if "event" in event:
        text = str(event["event"])
        if json.loads(text)["seq"] != event["seq"]:
            raise Fault(f"Event {event['seq']} says that it is another one.")
        return blake3(b"\0" + text.encode())
    return str(event["leaf"])


def _chained(roots: "list[bytes]", leaves: "dict[int, str]", keys: "dict[str, bytes]") -> int:
    """Check the roots one after another; returns the last event under them."""
    previous, index, last = "", 0, 0
    for line in roots:
        root = json.loads(line)
        where = f"Root {index + 1}"
        if (root["index"], root["first_seq"], root["previous"]) != (index + 1, last + 1, previous):
            raise Fault(where + " does not follow the one before it.")
        signed = _opened(root["signature"].encode(), _ROOT_TYPE, keys, where)
        if json.loads(signed) != {**root, "signature": ""}:
            raise Fault(where + " is not what was signed.")
        under = range(root["first_seq"], root["last_seq"] + 1)
        held = [seq for seq in under if seq in leaves]
        if held and len(held) != len(under):
            raise Fault(where + " covers events that are missing.")
        if held and _merkle([leaves[seq] for seq in under]) != root["root"]:
            raise Fault(where + " does not match its events: one of them was altered.")
        previous, index, last = blake3(line), root["index"], root["last_seq"]
    return last


def _merkle(level: "list[str]") -> str:
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [blake3(b"\1" + "".join(pair).encode()) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def _opened(envelope: bytes, kind: str, keys: "dict[str, bytes]", what: str) -> bytes:
    """The content of a signed envelope (DSSE)."""
    try:
        found = json.loads(envelope)
        payload = base64.b64decode(found["payload"], validate=True)
        signatures = [(one["keyid"], base64.b64decode(one["sig"], validate=True)) for one in found["signatures"]]
        name = str(found["payloadType"]).encode()
    except (ValueError, KeyError, TypeError) as problem:
        raise Fault(f"{what} cannot be read: {problem}.") from problem
    message = b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
    if name.decode() != kind or not any(key in keys and is_signed(keys[key], message, sig) for key, sig in signatures):
        raise Fault(f"{what} is not signed by a key in keys/, or was altered after signing.")
    return payload


def _main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    try:
        print("\n".join(check(folder)))
    except Fault as fault:
        print(f"DOES NOT HOLD: {fault}")
        return 1
    except (OSError, ValueError, KeyError, TypeError) as problem:
        print(f"DOES NOT HOLD: it cannot be read: {type(problem).__name__}: {problem}")
        return 1
    print("All of it holds.")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
