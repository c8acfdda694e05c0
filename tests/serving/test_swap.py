import json
from collections.abc import Callable
from pathlib import Path

import pytest
from serving_desk import a_revision, an_active

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.errors import Corrupt, NotFound
from slipway.records.endpoints import Revision
from slipway.serving.active import Active
from slipway.serving.counters import SWAPS, SWAPS_REFUSED, Counters
from slipway.serving.swap import GOOD_FILE, REVISION_FILE, Swap, publish, read_desired, read_revision


class Place:
    """An endpoint's folder, its signer, and a loader that fails for the numbers in `broken`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "endpoints" / "flights" / "delays"
        self.folder.mkdir(parents=True)
        self.signer = Ed25519Signer(folder / "keys")
        self.counters = Counters()
        self.broken: set[int] = set()
        self.loaded: list[int] = []
        self.told: list[tuple[int, int, str]] = []

    def load(self, revision: Revision) -> Active:
        if revision.number in self.broken:
            raise RuntimeError(f"bundle {revision.number} is broken")
        self.loaded.append(revision.number)
        return an_active(revision)

    def publish(self, number: int, **changes: object) -> None:
        publish(self.folder, a_revision(number, **changes), self.signer)

    def swap(self) -> Swap:
        return Swap(
            self.folder,
            self.signer,
            self.load,
            self.counters,
            lambda swap: self.told.append((swap.number, swap.refused, swap.note)),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def number(swap: Swap) -> int:
    assert swap.active is not None
    return swap.active.revision.number


def test_a_published_revision_reads_back(place: Place) -> None:
    place.publish(3)
    assert read_revision(place.folder / REVISION_FILE, place.signer) == a_revision(3)


def test_a_new_revision_is_swapped_in_once(place: Place) -> None:
    place.publish(1)
    swap = place.swap()
    swap.load_first()
    assert not swap.look()
    place.publish(2)
    assert swap.look()
    assert not swap.look()
    assert number(swap) == 2
    assert place.loaded == [1, 2]
    assert place.told == [(1, 0, ""), (2, 0, "")]
    assert place.counters.total(SWAPS) == 2


def test_a_revision_that_cannot_be_loaded_leaves_the_old_one_serving(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.publish(1)
    swap = place.swap()
    swap.load_first()
    place.broken = {2}
    place.publish(2)
    assert not swap.look()
    assert number(swap) == 1
    assert "bundle 2 is broken" in swap.note
    assert "Revision 1 goes on serving." in swap.note
    assert place.told[-1] == (1, 2, swap.note)
    assert "bundle 2 is broken" in caplog.text
    place.publish(3)
    assert swap.look()
    assert (number(swap), swap.refused, swap.note) == (3, 0, "")
    assert place.counters.total(SWAPS_REFUSED) == 1


def test_a_worker_that_starts_on_a_bad_revision_serves_the_last_good_one(place: Place) -> None:
    place.publish(1)
    place.swap().load_first()
    place.broken = {2}
    place.publish(2)
    later = place.swap()
    later.load_first()
    assert number(later) == 1
    assert "bundle 2 is broken" in later.note
    assert "last good one" in later.note
    assert place.told[-1] == (1, 2, later.note)


def test_nothing_published_or_nothing_loadable_is_said(place: Place) -> None:
    with pytest.raises(NotFound, match="slipway deploy"):
        place.swap().load_first()
    place.broken = {1}
    place.publish(1)
    with pytest.raises(RuntimeError, match="bundle 1 is broken"):
        place.swap().load_first()


def altered(envelope: bytes) -> bytes:
    said = json.loads(envelope)
    said["payload"] = said["payload"][::-1]
    return json.dumps(said).encode()


@pytest.mark.parametrize("spoil", [altered, lambda envelope: envelope[:-20], lambda envelope: b""])
def test_an_altered_or_torn_revision_is_refused(place: Place, spoil: Callable[[bytes], bytes]) -> None:
    place.publish(1)
    swap = place.swap()
    swap.load_first()
    place.publish(2)
    path = place.folder / REVISION_FILE
    path.write_bytes(spoil(path.read_bytes()))
    assert not swap.look()
    assert number(swap) == 1
    assert swap.note
    with pytest.raises(Corrupt):
        read_revision(path, place.signer)


def test_a_revision_signed_by_a_stranger_is_refused(place: Place, tmp_path: Path) -> None:
    publish(place.folder, a_revision(1), Ed25519Signer(tmp_path / "strange"))
    with pytest.raises(Corrupt, match="no key that is trusted"):
        place.swap().load_first()


def test_an_old_revision_that_comes_back_is_refused(place: Place) -> None:
    place.publish(5)
    swap = place.swap()
    swap.load_first()
    place.publish(4)
    assert not swap.look()
    assert "only count upwards" in swap.note
    assert number(swap) == 5


def test_another_revision_of_the_same_number_is_refused(place: Place) -> None:
    place.publish(5)
    swap = place.swap()
    swap.load_first()
    place.publish(5, workers=7)
    assert not swap.look()
    assert swap.note.startswith("The published revision cannot be loaded: Another revision 5")
    place.publish(5)
    assert not swap.look()
    assert (swap.note, place.loaded) == ("", [5])


def test_a_revision_of_another_endpoint_is_refused(place: Place) -> None:
    place.publish(1)
    swap = place.swap()
    swap.load_first()
    place.publish(2, name="prices")
    assert not swap.look()
    assert "flights/prices" in swap.note


def test_an_old_revision_is_refused_at_a_first_load_too(place: Place) -> None:
    place.publish(4)
    old = (place.folder / REVISION_FILE).read_bytes()
    place.publish(5)
    place.swap().load_first()
    (place.folder / REVISION_FILE).write_bytes(old)
    later = place.swap()
    later.load_first()
    assert number(later) == 5
    assert "only count upwards" in later.note
    assert read_desired(place.folder, place.signer).number == 5


def test_another_endpoints_revision_is_refused_at_a_first_load_too(place: Place) -> None:
    place.publish(1, name="prices")
    with pytest.raises(Corrupt, match="flights/prices; flights/delays lives here"):
        place.swap().load_first()
    with pytest.raises(Corrupt, match="lives here"):
        read_desired(place.folder, place.signer)
    place.publish(1, project="trains")
    with pytest.raises(Corrupt, match="trains/delays"):
        place.swap().load_first()
    assert place.loaded == []


@pytest.mark.parametrize("strange", [b"{}", None])
def test_a_last_good_file_that_cannot_be_trusted_decides_nothing(place: Place, strange: bytes | None) -> None:
    place.publish(9, name="prices")
    good = place.folder / GOOD_FILE
    good.write_bytes(strange or (place.folder / REVISION_FILE).read_bytes())
    place.publish(1)
    swap = place.swap()
    swap.load_first()
    assert (number(swap), read_revision(good, place.signer)) == (1, a_revision(1))


def test_a_worker_that_is_late_does_not_set_the_last_good_one_back(place: Place) -> None:
    place.publish(1)
    late = place.swap()
    late.load_first()
    place.publish(3)
    place.swap().load_first()
    place.publish(2)
    late.look()
    assert number(late) == 2  # as it had to be, seen from there
    assert read_desired(place.folder, place.signer).number == 3


def test_a_revision_file_that_vanishes_changes_nothing(place: Place) -> None:
    place.publish(1)
    swap = place.swap()
    swap.load_first()
    (place.folder / REVISION_FILE).unlink()
    assert not swap.look()
    assert number(swap) == 1
