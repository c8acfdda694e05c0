"""Container images as files: the same content has the same digest, and a base that is not what it says is refused."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import Corrupt, InvalidInput
from slipway.models.oci_layout import read_base, tar_of_layout, write_image, write_layer

AMD = "linux/amd64"


def _image(layout: Path, files: dict[str, Path | bytes], **more: Any) -> str:
    layer = write_layer(layout, files, made_by="test")
    config = {"Env": ["A=2", "B=3"], "User": "65532"}
    return write_image(layout, [layer], platform=AMD, config=config, tag="1", labels={"x": "y"}, **more)


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _json(layout: Path, digest: str) -> Any:
    return json.loads(_blob(layout, digest).read_bytes())


def _files(folder: Path, *, mask: int, times: int, order: int, owner: int) -> dict[str, Path | bytes]:
    former = os.umask(mask)
    try:
        folder.mkdir()
        for name in ("one", "two")[::order]:
            (folder / name).write_text(name)
            os.utime(folder / name, (times, times))
            if os.getuid() == 0:
                os.chown(folder / name, owner, owner)
        (folder / "two").chmod(0o777 & ~mask)
    finally:
        os.umask(former)
    found: dict[str, Path | bytes] = {f"opt/deep/{name}": folder / name for name in ("two", "one")[::order]}
    return {**found, "opt/told": b"x"}


def test_the_same_content_has_the_same_digest_whoever_wrote_it_where_and_when(tmp_path: Path) -> None:
    first = _image(tmp_path / "a", _files(tmp_path / "here", mask=0o022, times=10, order=1, owner=0))
    second = _image(tmp_path / "b", _files(tmp_path / "there", mask=0o077, times=99999, order=-1, owner=1234))
    assert first == second
    tar_of_layout(tmp_path / "a", tmp_path / "a.tar")
    tar_of_layout(tmp_path / "b", tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    layer = _json(tmp_path / "a", first)["layers"][0]["digest"]
    with tarfile.open(_blob(tmp_path / "a", layer)) as archive:
        told = [(m.name, m.mode, m.mtime, m.uid, m.uname) for m in archive]
    assert told == [
        ("opt", 0o755, 0, 0, ""),
        ("opt/deep", 0o755, 0, 0, ""),
        ("opt/deep/one", 0o644, 0, 0, ""),
        ("opt/deep/two", 0o755, 0, 0, ""),
        ("opt/told", 0o644, 0, 0, ""),
    ]
    assert _image(tmp_path / "c", {"opt/told": b"y"}) != first


def test_an_image_lies_on_its_base_and_says_what_it_changes(tmp_path: Path) -> None:
    below = write_layer(tmp_path / "base", {"usr/bin/python3.11": b"#!"}, made_by="below")
    config = {"Env": ["A=1", "C=4"], "Cmd": ["sh"], "User": "0"}
    digest = write_image(
        tmp_path / "base", [below], platform=AMD, config=config, tag="base", labels={"kept": "1", "x": "0"}
    )
    base = read_base(tmp_path / "base", AMD)
    assert (base.digest, list(base.names())) == (digest, ["usr", "usr/bin", "usr/bin/python3.11"])
    made = _image(tmp_path / "made", {"opt/told": b"x"}, base=base)
    manifest = _json(tmp_path / "made", made)
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == digest
    told = _json(tmp_path / "made", manifest["config"]["digest"])
    assert len(manifest["layers"]) == len(told["rootfs"]["diff_ids"]) == len(told["history"]) == 2
    assert told["config"]["Env"] == ["A=2", "C=4", "B=3"]
    assert (told["config"]["User"], told["config"]["Labels"]) == ("65532", {"kept": "1", "x": "y"})


def test_a_base_that_is_none_or_altered_or_for_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no OCI layout"):
        read_base(tmp_path, AMD)
    layout = tmp_path / "base"
    digest = _image(layout, {"opt/told": b"x"})
    with pytest.raises(InvalidInput, match="no images for linux/arm64"):
        read_base(layout, "linux/arm64")
    base = read_base(layout, AMD)
    layer = _blob(layout, base.layers[0].digest)
    whole = layer.read_bytes()
    layer.write_bytes(whole.replace(b"x", b"y", 1))
    with pytest.raises(Corrupt, match="is altered"):
        _image(tmp_path / "made", {"opt/other": b"x"}, base=base)
    layer.write_bytes(whole)
    manifest = _blob(layout, digest)
    manifest.write_bytes(manifest.read_bytes().replace(b'"schemaVersion":2', b'"schemaVersion":3'))
    with pytest.raises(Corrupt, match="is altered"):
        read_base(layout, AMD)
