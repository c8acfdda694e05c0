"""Nothing grows too large to be read, and no file is a drawer for everything."""

from house.read_sources import MODULES, place, read

FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "core", "types_", "stuff"}


def test_files_and_functions_can_be_read_at_once() -> None:
    faults = []
    for path in MODULES:
        found = read(path)
        if found.lines > 500:
            faults.append(f"{place(path)} has {found.lines} lines")
        faults += [f"{place(path)}: {name} has {length} lines" for name, length in found.functions if length > 60]
    assert faults == []


def test_files_say_what_is_in_them() -> None:
    assert [place(path) for path in MODULES if {path.stem, path.parent.name} & FORBIDDEN] == []


def test_a_room_opens_with_a_few_lines_about_it() -> None:
    faults = []
    for path in MODULES:
        docstring = read(path).docstring
        if not docstring:
            faults.append(f"{place(path)} does not say what it owns")
        elif path.name == "__init__.py" and len(docstring.splitlines()) > 10:
            faults.append(f"{place(path)} opens with {len(docstring.splitlines())} lines")
    assert faults == []
