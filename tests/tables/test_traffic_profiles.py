"""Hourly counts beside a log: one step at a time, whenever the process is killed; replicas in any order."""

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.tables.traffic_profiles import Copy, HourKey, Progress, TrafficProfiles, merged


def key(hour: int, part: str = "") -> HourKey:
    return HourKey(hour, "0123456789abcdef", "champion", part)


def counts(*numbers: int) -> Any:
    return np.array(numbers, dtype=np.int64)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[0-9]*.bin"))}


def steps(seed: int = 0, n: int = 12) -> list[tuple[dict[str, int], dict[HourKey, Any]]]:
    random = np.random.default_rng(seed)
    return [
        ({"a.seg": i + 1}, {key(int(random.integers(100, 160))): random.integers(0, 70_000, 5) for _ in range(3)})
        for i in range(n)
    ]


def test_counts_add_up_whatever_comes_in_which_step(tmp_path: Path) -> None:
    one, other = TrafficProfiles(tmp_path / "one"), TrafficProfiles(tmp_path / "other")
    told = steps()
    for cursor, more in told:
        one.add(cursor, more)
    whole: dict[HourKey, Any] = {}
    for _, more in told:
        for name, numbers in more.items():
            whole[name] = whole.get(name, 0) + numbers
    other.add(told[-1][0], whole)
    assert files(tmp_path / "one") == files(tmp_path / "other")
    assert one.progress().cursor == other.progress().cursor == {"a.seg": 12}
    assert {k: v.tolist() for k, v in one.hours().items()} == {k: v.tolist() for k, v in sorted(whole.items())}
    assert min(k.hour for k in one.hours(120)) >= 120


def test_a_late_row_opens_its_day_only(tmp_path: Path) -> None:
    profiles = TrafficProfiles(tmp_path)
    for hour in (10, 40, 70):
        profiles.add({}, {key(hour): counts(1, 2)})
    before = files(tmp_path)
    profiles.add({}, {key(11): counts(5, 5)})
    after = files(tmp_path)
    assert [name for name in after if after[name] != before[name]] == ["0.bin"]
    assert profiles.hours()[key(10)].tolist() == [1, 2]


class Killed(BaseException):
    pass


def test_killed_before_any_file_is_in_place_it_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = steps(1, 3)
    calm = TrafficProfiles(tmp_path / "calm")
    for cursor, more in told:
        calm.add(cursor, more)
    really = TrafficProfiles._put
    for lives in range(1, 40):
        folder, left = tmp_path / f"killed {lives}", itertools.count(1)

        def put(self: TrafficProfiles, name: str, content: bytes, left: Any = left, lives: int = lives) -> None:
            if next(left) == lives:
                raise Killed
            really(self, name, content)

        monkeypatch.setattr(TrafficProfiles, "_put", put)
        was_killed = 0
        while True:
            try:  # a new process: it reads the log from the cursor that it finds
                profiles = TrafficProfiles(folder)
                done = profiles.progress().cursor.get("a.seg", 0)
                for cursor, more in told[done:]:
                    profiles.add(cursor, more)
                break
            except Killed:
                was_killed += 1
        monkeypatch.setattr(TrafficProfiles, "_put", really)
        assert files(folder) == files(tmp_path / "calm")
        if not was_killed:
            return
    raise AssertionError("it was never run to the end without a kill")


def test_what_is_damaged_or_counts_something_else_is_counted_anew(tmp_path: Path) -> None:
    profiles = TrafficProfiles(tmp_path)
    profiles.add({"a.seg": 9}, {key(1): counts(1)})
    content = (tmp_path / "0.bin").read_bytes()
    (tmp_path / "0.bin").write_bytes(content[:-1])
    assert TrafficProfiles(tmp_path).progress().cursor == {}
    assert TrafficProfiles(tmp_path).hours() == {}
    profiles.add({"a.seg": 9}, {key(1): counts(1)})
    assert TrafficProfiles(tmp_path, about="carrier").hours() == {}


def test_days_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    profiles = TrafficProfiles(tmp_path)
    profiles.add({}, {key(10): counts(1), key(30): counts(2)})
    profiles.forget(47)
    assert list(profiles.hours()) == [key(30)]


def replica(source: str, seed: int, steps: int = 1) -> Copy:
    random = np.random.default_rng(seed)
    return Copy(
        Progress(source=source, steps=steps), {key(hour): random.integers(0, 900, 450) * steps for hour in range(24)}
    )


def test_replicas_merge_in_any_order_and_a_source_counts_once() -> None:
    copies = [replica(f"r{i}", i) for i in range(4)]
    first = merged(copies)
    for order in itertools.permutations(copies):
        assert {k: v.tolist() for k, v in merged(order).items()} == {k: v.tolist() for k, v in first.items()}
    older, newer = replica("r0", 0), replica("r0", 0, steps=2)
    for given in ([older, newer, *copies], [newer, *copies, newer], [newer, *copies[1:]]):
        assert (merged(given)[key(3)] == merged([newer, *copies[1:]])[key(3)]).all()


def test_a_day_of_eight_replicas_merges_at_once() -> None:
    copies = [replica(f"r{i}", i) for i in range(8)]
    began = time.process_time()
    for _ in range(10):
        merged(copies)
    assert (time.process_time() - began) / 10 < 0.2  # a millisecond where nothing else runs
