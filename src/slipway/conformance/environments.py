"""What everything that makes environments must do. It makes real ones, from small wheels of its own."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import os
import platform
import subprocess
import sysconfig
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.hashing import digest
from slipway.ports.environments import HELD_FILE, LOCK_FILE, Environments
from slipway.records.locks import Lock, LockedPackage, MadeEnvironment

__all__ = ["EnvironmentsSuite", "kept", "lock_of", "wheel"]

_PLATFORM = sysconfig.get_platform()


def wheel(name: str, version: str, source: str, *, requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """A wheel with one module of the same name: its file's name and its bytes."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        listed = [f"{path},{_hash(text.encode())},{len(text.encode())}" for path, text in files.items()]
        archive.writestr(f"{info}/RECORD", "\n".join([*listed, f"{info}/RECORD,,", ""]))
    return f"{name}-{version}-py3-none-any.whl", sink.getvalue()


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def kept(blobs: dict[str, bytes], name: str, version: str, source: str) -> LockedPackage:
    """A package whose wheel is kept among some blobs."""
    file, data = wheel(name, version, source)
    blobs[digest(data)] = data
    return LockedPackage(name=name, version=version, wheel=digest(data), file=file)


def lock_of(*packages: LockedPackage) -> Lock:
    """A lock of this machine."""
    return Lock(python=platform.python_version(), platform=_PLATFORM, packages=packages)


class EnvironmentsSuite:
    """Override `open` and `make_and_die`."""

    def open(self, folder: Path) -> Environments:
        """What makes environments below a folder; two of them know of the same ones."""
        raise NotImplementedError

    def make_and_die(self, folder: Path, lock: Lock, blobs: Path, after_s: float) -> None:
        """Make an environment in a process that is killed with kill -9 so many seconds after it began.

        Args:
            folder: Where environments are.
            lock: What to make.
            blobs: A folder in which kept wheels lie under their digests.
            after_s: When to kill it.
        """
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "environments"

    @pytest.fixture
    def blobs(self) -> dict[str, bytes]:
        return {}

    @pytest.fixture
    def lock(self, blobs: dict[str, bytes]) -> Lock:
        return lock_of(kept(blobs, "hull", "1.2", "STRENGTH = 7\n"), kept(blobs, "keel", "3.0", "import hull\n"))

    @pytest.fixture
    def made(self, folder: Path, lock: Lock, blobs: dict[str, bytes]) -> MadeEnvironment:
        return self.open(folder).make(lock, blobs.__getitem__)

    def test_it_has_what_the_lock_says_and_nothing_else(self, made: MadeEnvironment, lock: Lock) -> None:
        assert (made.lock, made.is_new) == (lock.digest, True)
        assert made.version.split(".")[:2] == lock.python.split(".")[:2]
        assert _said(made, "import keel; print(keel.hull.STRENGTH)") == "7"
        listed = "import importlib.metadata as m; print(*sorted(d.name + '==' + d.version for d in m.distributions()))"
        assert _said(made, listed) == "hull==1.2 keel==3.0"
        assert (Path(made.folder) / LOCK_FILE).read_bytes() == lock.encoded

    def test_it_is_found_again(self, made: MadeEnvironment, folder: Path, lock: Lock, blobs: dict[str, bytes]) -> None:
        again = self.open(folder).make(lock, blobs.__getitem__, is_checked=True)
        assert again == replace(made, is_new=False)
        (one,) = self.open(folder).kept()
        assert (one.lock, one.packages, one.version) == (lock.digest, 2, made.version)
        assert one.size_bytes > 0

    def test_another_lock_is_another_environment(self, folder: Path, lock: Lock, blobs: dict[str, bytes]) -> None:
        store = self.open(folder)
        one = store.make(lock, blobs.__getitem__)
        other = store.make(lock_of(kept(blobs, "hull", "1.3", "STRENGTH = 8\n")), blobs.__getitem__)
        assert _said(one, "import hull; print(hull.STRENGTH)") == "7"
        assert _said(other, "import hull; print(hull.STRENGTH)") == "8"
        assert {each.lock for each in store.kept()} == {one.lock, other.lock}

    def test_of_many_one_makes_it(self, folder: Path, lock: Lock, blobs: dict[str, bytes]) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: self.open(folder).make(lock, blobs.__getitem__), range(4)))
        assert sorted(each.is_new for each in made) == [False, False, False, True]

    def test_after_a_kill_it_is_whole_or_absent(
        self, folder: Path, lock: Lock, blobs: dict[str, bytes], tmp_path: Path
    ) -> None:
        place = tmp_path / "kept-wheels"
        place.mkdir()
        for name, data in blobs.items():
            (place / name).write_bytes(data)
        for hundredths in (4, 8, 12, 16, 20, 24, 32, 40):
            self.make_and_die(folder, lock, place, hundredths / 100)
            there = folder / lock.digest
            assert not there.exists() or (there / LOCK_FILE).read_bytes() == lock.encoded
        made = self.open(folder).make(lock, blobs.__getitem__, is_checked=True)
        assert _said(made, "import keel; print(keel.hull.STRENGTH)") == "7"
        self.open(folder).make(lock, blobs.__getitem__)
        assert [path.name for path in folder.glob(".*.part")] == []

    @pytest.mark.parametrize(
        ("text", "is_checked"),
        [("STRENGTH = 70\n", False), ("STRENGTH = 9\n", True), ("", False)],
        ids=["longer", "as long", "emptied"],
    )
    def test_what_was_altered_is_set_aside_and_made_anew(
        self, made: MadeEnvironment, folder: Path, lock: Lock, blobs: dict[str, bytes], text: str, is_checked: bool
    ) -> None:
        (file,) = Path(made.folder).rglob("hull.py")
        file.write_text(text)
        again = self.open(folder).make(lock, blobs.__getitem__, is_checked=is_checked)
        assert again.is_new
        assert _said(again, "import hull; print(hull.STRENGTH)") == "7"

    def test_what_was_added_or_removed_is_found(
        self, made: MadeEnvironment, folder: Path, lock: Lock, blobs: dict[str, bytes]
    ) -> None:
        (file,) = Path(made.folder).rglob("hull.py")
        added = file.with_name("sitecustomize.py")
        added.write_text("print('here')\n")
        assert self.open(folder).make(lock, blobs.__getitem__).is_new
        file.unlink()
        assert self.open(folder).make(lock, blobs.__getitem__).is_new
        assert not added.exists()

    def test_other_content_is_refused(self, folder: Path, lock: Lock, blobs: dict[str, bytes]) -> None:
        hull, keel = lock.packages
        wrong = lock_of(replace(hull, content="0" * 64), keel)
        with pytest.raises(Corrupt, match=r"hull 1\.2 is not what the lock"):
            self.open(folder).make(wrong, blobs.__getitem__)
        assert self.open(folder).kept() == ()

    def test_a_damaged_wheel_is_refused(self, folder: Path, lock: Lock, blobs: dict[str, bytes]) -> None:
        with pytest.raises(Corrupt, match=r"hull 1\.2 is damaged"):
            self.open(folder).make(lock, lambda name: blobs[name][:-1])

    def test_a_package_that_is_nowhere_is_a_sentence(
        self, folder: Path, lock: Lock, blobs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_OFFLINE", "1")
        absent = LockedPackage(name="there-is-no-such-thing", version="9.9")
        with pytest.raises(NotFound, match="there-is-no-such-thing"):
            self.open(folder).make(lock_of(*lock.packages, absent), blobs.__getitem__)
        assert self.open(folder).kept() == ()
        assert list(folder.glob("*.part")) == []

    def test_another_machine_and_another_python_are_sentences(
        self, folder: Path, lock: Lock, blobs: dict[str, bytes]
    ) -> None:
        with pytest.raises(InvalidInput, match="was made on amiga-68k"):
            self.open(folder).make(replace(lock, platform="amiga-68k"), blobs.__getitem__)
        with pytest.raises(NotFound, match=r"wants Python 3\.4"):
            self.open(folder).make(replace(lock, python="3.4.1"), blobs.__getitem__)

    def test_what_nobody_uses_can_be_dropped(
        self, made: MadeEnvironment, folder: Path, lock: Lock, blobs: dict[str, bytes]
    ) -> None:
        store = self.open(folder)
        assert not store.drop(lock.digest, unused_s=3600)
        with (folder / f"{lock.digest}{HELD_FILE}").open() as user:
            fcntl.flock(user, fcntl.LOCK_SH)
            assert not store.drop(lock.digest)
        old = 1_000_000_000
        os.utime(folder / f"{lock.digest}{HELD_FILE}", (old, old))
        assert store.drop(lock.digest, unused_s=3600)
        assert store.drop(lock.digest)
        assert (store.kept(), Path(made.folder).exists()) == ((), False)
        assert store.make(lock, blobs.__getitem__).is_new


def _said(made: MadeEnvironment, code: str) -> str:
    done = subprocess.run([made.python, "-I", "-B", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
