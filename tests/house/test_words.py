"""What may not stand in the repository's text: places of one machine, and hosts of packages."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r"(?<![\w.])/(?:home|Users|root)/\w+|(?<![\w.])/(?:work|mnt|srv)/\w+")
HOSTS = re.compile(r"\b(?:pypi\.org|files\.pythonhosted\.org|[\w-]+\.jfrog\.io|[\w.-]*artifactory[\w.-]*|test\.pypi)\b")
SECRETS = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bghp_[A-Za-z0-9]{30,}")
THIS = Path(__file__).relative_to(ROOT).as_posix()


def texts() -> list[tuple[str, str]]:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = []
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if name == THIS or not path.is_file():
            continue
        try:
            found.append((name, path.read_text("utf-8")))
        except UnicodeDecodeError:  # a picture or an archive
            continue
    return found


def test_no_place_of_one_machine_no_host_of_packages_no_secret() -> None:
    faults = [
        f"{name}:{number}: {match.group()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        for pattern in (PLACES, HOSTS, SECRETS)
        for match in [pattern.search(line)]
        if match
    ]
    assert faults == []


def test_requirements_name_no_address() -> None:
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert files
    for path in files:
        assert "://" not in path.read_text(), f"{path.name} names an address: compile it without"
