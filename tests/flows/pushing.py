"""A small project in a git repository, with a store for each of dev, test and prod."""

import os
import shutil
import subprocess
from pathlib import Path

from slipway.flows.floors import set_floor
from slipway.flows.promote import trust
from slipway.hosts.project import open_workspace
from slipway.operations.floors import SetFloor

NAME = "parcels"
PROJECT = Path(__file__).parent / "pushed_project"
TEST = """from pushed import load


def test_load() -> None:
    assert load(2, 3) == 6
"""
ROW = {"parcel_id": "Q1", "distance": 900, "weight": 39}


def git(folder: Path, *words: str, fails: bool = False) -> str:
    """What git says, on both outputs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.org"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def commit(folder: Path, words: str) -> str:
    """Commit all that lies there; gives the commit."""
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", words)
    return git(folder, "rev-parse", "HEAD").strip()


def project_in(folder: Path, stores: Path) -> None:
    """Write the project into a folder."""
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "test_pushed.py").write_text(TEST)
    sections = "".join(f'\n[environments.{name}]\nstore = "{stores / name}"\n' for name in ("dev", "test", "prod"))
    (folder / "slipway.toml").write_text(f'[project]\nname = "parcels"\nmodule = "pushed"\n{sections}')
    (folder / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n")


def prepare(stores: Path) -> None:
    """What whoever keeps the stores does once: test trusts dev's key, prod both, and prod asks for a person's word."""
    opened = {name: open_workspace(stores / name, project=NAME, environment=name) for name in ("dev", "test", "prod")}
    dev, test, prod = opened["dev"], opened["test"], opened["prod"]
    trust(dev, test, dev.signer.key_id)
    trust(dev, prod, dev.signer.key_id)
    trust(test, prod, test.signer.key_id)
    floor = SetFloor(environment="prod", checks=("sw.approval('accountable')",), reason="a person answers for it")
    set_floor(prod, floor)
    for one in opened.values():
        one.ledger.close()


def make_worse(folder: Path) -> None:
    """The labels are learnt in another order: the model guesses."""
    path = folder / "pushed.py"
    changed = path.read_text().replace("return known", "return np.random.default_rng(0).permutation(known)")
    path.write_text(changed)
