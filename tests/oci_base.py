"""A base image made of this machine's own Python and the libraries that it loads, for images to be put on."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from slipway.models.oci_layout import write_image, write_layer

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
_SKIPPED = {"test", "site-packages", "__pycache__", "idlelib", "ensurepip", "tkinter", "lib2to3"}
_LOADED = (
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libgomp.so.1",
    "libstdc++.so.6",
    "libgcc_s.so.1",
)


def python_base(layout: Path, platform: str = "linux/amd64") -> str:
    """Write it as the one image of a layout; returns its digest."""
    home = Path(sys.base_prefix)
    program = home / "bin" / f"python{MINOR}"
    library = Path(sysconfig.get_path("stdlib", vars={"base": str(home), "installed_base": str(home)}))
    files: dict[str, Path | bytes] = {f"usr/local/bin/python{MINOR}": program}
    for path in library.rglob("*"):
        if path.is_file() and not _SKIPPED & set(path.relative_to(library).parts) and path.suffix != ".a":
            files[f"usr/local/lib/python{MINOR}/{path.relative_to(library).as_posix()}"] = path
    for name, path in _libraries([program, *library.glob("lib-dynload/*.so")]).items():
        files[f"lib/x86_64-linux-gnu/{name}" if not name.startswith("ld-") else f"lib64/{name}"] = path
    layer = write_layer(layout, files, made_by="this machine's Python")
    config = {"Env": ["PATH=/usr/local/bin", "LANG=C.UTF-8"], "User": "0", "Cmd": ["python3"]}
    return write_image(layout, [layer], platform=platform, config=config, tag="base", labels={"kept": "base"})


def _libraries(programs: Iterable[Path]) -> dict[str, Path]:
    """The shared libraries that programs load, by name; and those that compiled packages expect of a system."""
    found: dict[str, Path] = {}
    for program in programs:
        told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
        for line in told.splitlines():
            words = line.split()
            if len(words) > 2 and words[1] == "=>" and words[2].startswith("/"):
                found[words[0]] = Path(words[2]).resolve()
            elif words and words[0].startswith("/"):
                found[Path(words[0]).name] = Path(words[0]).resolve()
    for name in _LOADED:
        place = Path("/usr/lib/x86_64-linux-gnu", name)
        if place.exists():
            found.setdefault(name, place.resolve())
    return found
