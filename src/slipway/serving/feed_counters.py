"""Freshness and nulls of what an endpoint looks up, in a mapped file that its workers share; see `counters`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from slipway.hashing import fingerprint
from slipway.records.feeds import AGE_MAX, NULLS, Feed, FeedCounts
from slipway.serving.counters import MAX_WORKERS, mapped

__all__ = ["FeedCounters", "forget_former", "read_feeds"]

_FILES = "feeds-*.bin"
_NAMES = "feeds.json"
_logger = logging.getLogger("slipway.serving")


class FeedCounters:
    """One worker's counters of the feeds of a feature set.

    Args:
        folder: The endpoint's; None for counters of this process alone.
        feeds: What is counted.
        slot: The worker's index.
    """

    def __init__(self, folder: Path | None, feeds: Sequence[Feed], slot: int = 0) -> None:
        self._feeds = feeds
        self._width = sum(feed.width for feed in feeds)
        size = MAX_WORKERS * max(self._width, 1) * 8
        shared = None if folder is None or not feeds else mapped(_path(folder, feeds), size)
        self._all = memoryview(bytearray(size) if shared is None else shared).cast("Q")
        if folder is not None and shared is not None:
            _name(folder, feeds)
        elif folder is not None:
            (folder / _NAMES).unlink(missing_ok=True)
        self.cells: dict[str, memoryview] = {}
        place = slot * self._width
        for feed in feeds:
            self.cells[feed.key] = self._all[place : place + feed.width]
            place += feed.width

    def counts(self) -> list[FeedCounts]:
        """What all workers counted."""
        return _counts(self._all, self._feeds, self._width)

    def text(self, endpoint: str) -> str:
        """All of it in Prometheus's text format."""
        found = self.counts()
        lines: list[str] = []
        for name, said, kind in (
            ("looked_up_total", "Keys looked up and counted, each once a request, of a large one about 8.", "counter"),
            ("not_found_total", "Keys under which there was no row.", "counter"),
            ("too_old_total", "Keys whose row was older than its view's TTL allows.", "counter"),
            ("age_seconds_mean", "Mean age of the found rows at the decision.", "gauge"),
            ("age_seconds_max", "Greatest age of a found row at the decision.", "gauge"),
        ):
            lines += [f"# HELP slipway_feed_{name} {said}", f"# TYPE slipway_feed_{name} {kind}"]
            for one in found:
                value = _value(one, name)
                if value is not None:
                    lines.append(
                        f'slipway_feed_{name}{{endpoint="{endpoint}",kind="{one.kind}",feed="{one.name}"}} {value}'
                    )
        lines += ["# HELP slipway_feed_nulls_total Found rows in which a feature was null."]
        lines += ["# TYPE slipway_feed_nulls_total counter"]
        for one in found:
            labels = f'endpoint="{endpoint}",kind="{one.kind}",feed="{one.name}"'
            lines += [f'slipway_feed_nulls_total{{{labels},feature="{name}"}} {n}' for name, n in one.nulls.items()]
        return "\n".join(lines) + "\n" if found else ""


def read_feeds(folder: Path) -> list[FeedCounts]:
    """What the workers of the endpoint in a folder count of the model that serves; [] where it looks nothing up."""
    feeds = _named(folder)
    try:
        content = _path(folder, feeds).read_bytes()
    except FileNotFoundError:
        return []
    width = sum(feed.width for feed in feeds)
    whole = len(content) >= MAX_WORKERS * width * 8  # a worker that is just making it has not counted either
    return _counts(memoryview(content).cast("Q"), feeds, width) if whole and width else []


def forget_former(folder: Path) -> None:
    """Remove what was counted for other feature sets than the one that served last; its figures go on."""
    kept = _path(folder, _named(folder))
    for path in folder.glob(_FILES):
        if path != kept:
            path.unlink(missing_ok=True)


def _named(folder: Path) -> tuple[Feed, ...]:
    try:
        return msgspec.json.decode((folder / _NAMES).read_bytes(), type=tuple[Feed, ...])
    except (FileNotFoundError, msgspec.DecodeError):
        return ()


def _name(folder: Path, feeds: Sequence[Feed]) -> None:
    """Say in the folder what is counted, for those who read it without the model."""
    part = folder / f".{_NAMES}.{os.getpid()}.part"
    try:
        part.write_bytes(msgspec.json.encode(feeds))
        part.rename(folder / _NAMES)
    except OSError as problem:  # a full disk keeps no endpoint from answering
        _logger.error("%s cannot be written: %s", folder / _NAMES, problem)


def _path(folder: Path, feeds: Sequence[Feed]) -> Path:
    return folder / _FILES.replace("*", _layout(feeds))


def _layout(feeds: Sequence[Feed]) -> str:
    return fingerprint([NULLS, *((feed.name, feed.kind, feed.features) for feed in feeds)])[:12]


def _counts(cells: memoryview, feeds: Sequence[Feed], width: int) -> list[FeedCounts]:
    found, place = [], 0
    for feed in feeds:
        totals = [sum(cells[place + i :: width]) for i in range(feed.width)]
        looked_up, not_found, too_old, age_s, rest_us, _, *nulls = totals
        rows = looked_up - not_found
        has_age = feed.kind == "view" and rows > 0
        found.append(
            FeedCounts(
                name=feed.name,
                kind=feed.kind,
                looked_up=looked_up,
                not_found=not_found,
                too_old=too_old,
                mean_age_s=(age_s * 10**6 + rest_us) / rows / 1e6 if has_age else None,
                max_age_s=max(cells[place + AGE_MAX :: width]) / 1e6 if has_age else None,
                nulls=dict(zip(feed.features, nulls, strict=True)),
                layout=_layout(feeds),
            )
        )
        place += feed.width
    return found


def _value(one: FeedCounts, name: str) -> float | int | None:
    return {
        "looked_up_total": one.looked_up,
        "not_found_total": one.not_found,
        "too_old_total": one.too_old,
        "age_seconds_mean": one.mean_age_s,
        "age_seconds_max": one.max_age_s,
    }[name]
