"""Sketches: small states of many events, from which a value comes within a declared tolerance.

A state takes up events in groups and gives them back, as whole numbers only. It therefore depends on which events it
holds and on nothing else, and back-fill, stream and look-up give the same bits. Several states are merged by taking the
groups of one up into the other.

- About how many values differ: HyperLogLog registers (Flajolet and others, 2007), read by the estimator of Ertl (2017,
  arXiv 1702.01284), which needs no correction tables. Relative standard error 1.04 / sqrt(registers).
- Quantiles: a histogram whose buckets' borders are the leading bits of a double, as in HdrHistogram; each bucket's middle
  is within 2**-(bits + 1) of all its numbers. No logarithm, whose last bit may differ between two libraries, is taken.
- Decayed means: weights are powers of two of whole numbers, so that sums of them are exact.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import blake3

from slipway.records.features import Aggregate

__all__ = [
    "DECAY_STEPS",
    "SKETCHES",
    "Sketch",
    "bucket_bits",
    "bucket_of",
    "folder",
    "register_bits",
    "register_of",
    "sketch_of",
]

SKETCHES = ("approx_distinct", "quantile", "decayed_mean")
"""The kinds of aggregates that are folded from groups; see `records.features.WindowState`."""

DECAY_STEPS = 32
"""How many steps of time a half-life has."""

_RANK_BITS = 6


class Sketch(Protocol):
    """A mergeable state."""

    def add(self, group: int, count: int, total: int) -> None:
        """Take up `count` values of a group whose sum is `total`; negative ones are given back."""
        ...

    def value(self) -> float | int | None:
        """What the state says; None where it holds nothing and that has no value."""
        ...


def sketch_of(aggregate: Aggregate) -> Callable[[], Sketch]:
    """How an empty state for an aggregate is made."""
    if aggregate.kind == "approx_distinct":
        bits = register_bits(aggregate.tolerance)
        return lambda: _Registers(bits)
    if aggregate.kind == "quantile":
        bits = bucket_bits(aggregate.tolerance)
        return lambda: _Buckets(bits, aggregate.quantile)
    return lambda: _Decayed(aggregate.scale)


def folder(aggregate: Aggregate) -> Callable[[Sequence[tuple[int, int, int]]], float | int | None]:
    """How the value comes from all groups of a window at once, in their order; equal to taking up one after the other."""
    if aggregate.kind == "approx_distinct":
        bits = register_bits(aggregate.tolerance)
        return lambda groups: _estimate_of(groups, bits)
    if aggregate.kind == "quantile":
        bits, q = bucket_bits(aggregate.tolerance), aggregate.quantile
        return lambda groups: _quantile([(bucket, count) for bucket, count, _ in groups], q, bits)
    make = sketch_of(aggregate)

    def fold(groups: Sequence[tuple[int, int, int]]) -> float | int | None:
        sketch = make()
        for group in groups:
            sketch.add(*group)
        return sketch.value()

    return fold


def register_bits(tolerance: float) -> int:
    """The least power of two of registers whose relative standard error is within a tolerance."""
    return next(bits for bits in range(7, 17) if tolerance * math.sqrt(2**bits) >= 1.04 or bits == 16)


def bucket_bits(tolerance: float) -> int:
    """The least power of two of buckets between a number and its double whose middles are within a tolerance."""
    return next(bits for bits in range(1, 21) if 0.5 ** (bits + 1) <= tolerance or bits == 20)


def register_of(text: str, bits: int) -> int:
    """The register of a value, given by its text, and how rare its hash is: `register * 64 + rank`."""
    hashed = int.from_bytes(blake3.blake3(text.encode("utf-8", "surrogatepass")).digest(length=8), "big")
    width = 64 - bits
    rank = width + 1 - (hashed & ((1 << width) - 1)).bit_length()
    return hashed >> width << _RANK_BITS | rank


def bucket_of(number: float, bits: int) -> int | None:
    """The number of a value's bucket: the leading bits of its double, with its sign; None for NaN and infinities.

    Zero, and what is nearer to it than 2**-1022, has the bucket 0.
    """
    if not math.isfinite(number):
        return None
    (whole,) = struct.unpack(">q", struct.pack(">d", abs(number)))
    bucket: int = whole >> (52 - bits)
    if bucket < 1 << bits:
        return 0
    return -bucket if number < 0 else bucket


def _middle(bucket: int, bits: int) -> float:
    if not bucket:
        return 0.0
    middle: float
    (middle,) = struct.unpack(">d", struct.pack(">q", abs(bucket) << (52 - bits) | 1 << (51 - bits)))
    return -middle if bucket < 0 else middle


class _Registers:
    """How many registers have which greatest rank."""

    def __init__(self, bits: int) -> None:
        self._width = 64 - bits
        self._counts: dict[int, int] = {}
        self._ranks: dict[int, int] = {}  # by register: a bit for each rank that it holds
        self._registers = [0] * (self._width + 2)  # how many have this greatest rank
        self._registers[0] = 1 << bits

    def add(self, group: int, count: int, total: int) -> None:
        """See `Sketch`."""
        former = self._counts.get(group, 0)
        now = former + count
        if now:
            self._counts[group] = now
        else:
            del self._counts[group]
        if bool(former) == bool(now):
            return
        register, rank = group >> _RANK_BITS, group & ((1 << _RANK_BITS) - 1)
        ranks = self._ranks.get(register, 1)
        changed = ranks ^ 1 << rank
        self._ranks[register] = changed
        self._registers[ranks.bit_length() - 1] -= 1
        self._registers[changed.bit_length() - 1] += 1

    def value(self) -> int:
        """See `Sketch`."""
        return _estimate(self._registers)


def _estimate_of(groups: Sequence[tuple[int, int, int]], bits: int) -> int:
    # In the order of groups a register's greatest rank comes last, and stays.
    ranks = Counter({group >> _RANK_BITS: group & ((1 << _RANK_BITS) - 1) for group, _, _ in groups}.values())
    registers = [ranks[rank] for rank in range(66 - bits)]
    registers[0] = (1 << bits) - sum(registers)
    return _estimate(registers)


def _estimate(counts: Sequence[int]) -> int:
    """How many values differ, by how many registers have which greatest rank."""
    m = float(sum(counts))
    if counts[0] == m:
        return 0
    z = m * _tau(1.0 - counts[-1] / m)
    for count in counts[-2:0:-1]:
        z = 0.5 * (z + count)
    z += m * _sigma(counts[0] / m)
    return round(m * m / (2.0 * math.log(2.0) * z))


def _sigma(x: float) -> float:
    y, z, former = 1.0, x, -1.0
    while z != former:
        x *= x
        former = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, former = 1.0, 1.0 - x, -1.0
    while z != former:
        x = math.sqrt(x)
        former = z
        y *= 0.5
        z -= (1.0 - x) * (1.0 - x) * y
    return z / 3.0


class _Buckets:
    """How many values each bucket holds."""

    def __init__(self, bits: int, quantile: float) -> None:
        self._bits = bits
        self._quantile = quantile
        self._counts: dict[int, int] = {}

    def add(self, group: int, count: int, total: int) -> None:
        """See `Sketch`."""
        now = self._counts.get(group, 0) + count
        if now:
            self._counts[group] = now
        else:
            del self._counts[group]

    def value(self) -> float | None:
        """See `Sketch`."""
        return _quantile(sorted(self._counts.items()), self._quantile, self._bits)


def _quantile(buckets: Sequence[tuple[int, int]], q: float, bits: int) -> float | None:
    total = sum([count for _, count in buckets])
    place = math.floor(q * (total - 1))
    for bucket, count in buckets:
        place -= count
        if place < 0:
            return _middle(bucket, bits)
    return None


def _root(power: int) -> int:
    """floor(2**(60 + power / 32)), by five exact square roots."""
    found: int = 1 << (60 * DECAY_STEPS + power)
    for _ in range(5):
        found = math.isqrt(found)
    return found


_WEIGHTS = tuple(_root(step) for step in range(DECAY_STEPS))
_FAR = 256  # half-lives: more than a window holds


class _Decayed:
    """Weighted sums of ones and of values; a group is a step of time, of which each half-life has 32.

    The weight of a step is 2**(step / 32) by a table for its 32nds, so an event's weight relative to the others in a
    window does not depend on when one looks. Weights are whole numbers above a first half-life, which moves on with the
    events so that numbers stay small.
    """

    def __init__(self, scale: int) -> None:
        self._scale = float(scale)
        self._first: int | None = None
        self._ones = 0
        self._values = 0

    def add(self, group: int, count: int, total: int) -> None:
        """See `Sketch`; groups come in the order of time, and what lies 64 half-lives back is given back first."""
        half_life, step = divmod(group, DECAY_STEPS)
        if self._first is None:
            self._first = half_life
        ahead = half_life - self._first
        if ahead > _FAR:
            moved = ahead - _FAR // 2
            self._first += moved
            self._ones >>= moved
            self._values >>= moved
            ahead -= moved
        weight = _WEIGHTS[step] << ahead
        self._ones += weight * count
        self._values += weight * total

    def value(self) -> float | None:
        """See `Sketch`."""
        return self._values / self._ones / self._scale if self._ones else None
