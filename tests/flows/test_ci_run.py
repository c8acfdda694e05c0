"""A commit's stages: done once, resumed where killed, waiting without blocking; and repositories that are no commit."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pushing import NAME, commit, git, make_worse, prepare, project_in

from slipway.errors import Conflict, GateRefused, InvalidInput, NotFound, Unavailable
from slipway.flows.ci_git import commit_of, hooks_of, is_bare
from slipway.flows.ci_run import STAGES, Work, ci_runs, fed_endpoint, run_commit
from slipway.flows.endpoint import Endpoint
from slipway.flows.journey import model_journey
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.journey import GetJourney
from slipway.pipelines.declare import Pipeline
from slipway.records.ci_runs import CiRun
from slipway.records.models import ModelVersion
from slipway.records.promotions import Promotion, PromotionStage
from slipway.records.runs import Run

BEFORE = ("copy", "gate", "approval")


def promotion(project: Project, version: ModelVersion, target: str, *, to: int, word: bool) -> Promotion:
    """What a promotion that came so far says."""
    names = (*BEFORE, "deploy", "registry")
    done = [PromotionStage(name=name, state="done", sentence=f"{name} was done.") for name in names[:to]]
    left = [PromotionStage(name=name) for name in names[to:]]
    if not word and to <= BEFORE.index("approval"):
        left = [
            PromotionStage(
                name="approval", state="waiting", sentence="nobody yet", asked=("grace",), command="slipway x"
            ),
            *left[1:],
        ]
    now = project.workspace.clock.now()
    return Promotion(
        id=f"p/{target}/{version.name}/1",
        project=project.name,
        name=version.name,
        created_at=now,
        number=1,
        source="dev",
        target=target,
        workflow="default",
        version=version.number,
        bundle=version.bundle,
        endpoint=version.name,
        stages=(*done, *left),
        actor=project.workspace.actor,
        updated_at=now,
    )


@dataclasses.dataclass
class Desk:
    """The project at a commit; promotions are told of, the rest is real."""

    project: Project
    commit: str
    has_word: bool = False
    promoted: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def promote(self, version: ModelVersion, target: str, before: str) -> Promotion:
        self.promoted.append((target, before))
        is_given = target == "test" or self.has_word
        to = 2 if not is_given else 3 if before else 5
        return promotion(self.project, version, target, to=to, word=is_given)

    def run(self, stage: str = "") -> CiRun:
        endpoint = fed_endpoint(self.project.declared(Endpoint))
        work = Work(
            checkout=self.project,
            commit=self.commit,
            endpoint=endpoint,
            params={},
            test=lambda: "The tests passed.",  # a process, which a test below starts
            promote=self.promote,
        )
        return run_commit(work, stage)

    def trainings(self) -> list[Run]:
        with self.project.workspace.ledger.read() as tx:
            return entries.find(tx, Run, project=NAME, limit=100)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    project_in(folder, tmp_path / "stores")
    path, sha = list(sys.path), commit(folder, "First")
    sys.modules.pop("pushed", None)
    with open_project(folder) as project:
        yield Desk(project, sha)
    sys.path[:] = path
    sys.modules.pop("pushed", None)


def states(run: CiRun) -> list[str]:
    return [stage.state for stage in run.stages]


def test_the_same_commit_is_the_same_work(desk: Desk) -> None:
    waits = desk.run()
    assert waits.state == "waiting"
    assert states(waits) == ["done"] * 5 + ["waiting", "to do"]
    asked = waits.stages[5]
    assert (asked.asked, asked.command) == (("grace",), "slipway x")
    assert desk.promoted == [("test", ""), ("prod", "deploy")]  # nothing is deployed to prod without the word
    assert len(desk.trainings()) == 1

    desk.has_word = True
    done = desk.run()
    assert (done.state, done.version) == ("done", 1)
    assert len(desk.trainings()) == 1
    assert [one.number for one in ci_runs(desk.project.workspace, desk.commit[:8])] == [1]

    told = model_journey(desk.project.workspace, GetJourney(name=NAME)).items
    shown = {one.name: one.evidence for one in told if one.is_shown}
    assert shown["checks"] == shown["push"] == f"ci_run:{ci_runs(desk.project.workspace)[0].id}"

    desk.commit = "f" * 40  # another commit with the same code: the same bytes, found stored
    desk.run()
    assert len({one.bundle for one in registry.versions(desk.project.workspace, NAME)}) == 1
    assert [one.number for one in ci_runs(desk.project.workspace)] == [2, 1]


def test_each_stage_may_be_a_job_of_its_own(desk: Desk) -> None:
    with pytest.raises(Conflict, match=r"'gate' of commit .* comes after 'test', which is to do") as caught:
        desk.run("gate")
    assert caught.value.fix.startswith("slipway ci run --stage test")
    desk.has_word = True
    for number, name in enumerate(STAGES, 1):
        assert states(desk.run(name)) == ["done"] * number + ["to do"] * (7 - number)
    assert desk.promoted == [("test", ""), ("prod", "deploy"), ("prod", "")]
    with pytest.raises(InvalidInput, match="no stage 'trian'") as wrong:
        desk.run("trian")
    assert "Did you mean 'train'?" in wrong.value.fix


def test_a_worse_model_is_stopped_by_the_gate_and_goes_nowhere(desk: Desk) -> None:
    make_worse(desk.project.folder)
    sys.modules.pop("pushed", None)
    with pytest.raises(GateRefused, match="auc"):
        desk.run()
    assert desk.promoted == []
    (failed,) = ci_runs(desk.project.workspace)
    assert (failed.state, failed.stages[2].state) == ("failed", "failed")
    assert "was refused for dev" in failed.stages[2].sentence


@pytest.mark.parametrize("stage", ["train", "gate", "deploy-test"])
def test_a_kill_after_the_work_and_before_its_record(desk: Desk, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    original = STAGES[stage]

    def killed(work: Work, run: CiRun) -> CiRun:
        original(work, run)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setitem(STAGES, stage, killed)
        with pytest.raises(Killed):
            desk.run()
    (left,) = ci_runs(desk.project.workspace)
    assert left.stages[list(STAGES).index(stage)].state == "under way"
    desk.has_word = True
    assert desk.run().state == "done"
    assert len(desk.trainings()) == 1


def test_which_endpoint_a_push_is_for(desk: Desk) -> None:
    declared = desk.project.declared(Endpoint)
    release = declared[NAME].pipeline
    assert isinstance(release, Pipeline)
    assert fed_endpoint(declared, "release") is declared[NAME]
    with pytest.raises(NotFound, match="fed by a pipeline 'relaese'"):
        fed_endpoint(declared, "relaese")
    with pytest.raises(NotFound, match="no endpoint that says which pipeline"):
        fed_endpoint({})


# Repositories


def merging(folder: Path) -> None:
    git(folder, "checkout", "--quiet", "-b", "other")
    (folder / "pushed.py").write_text("# theirs\n")
    commit(folder, "Theirs")
    git(folder, "checkout", "--quiet", "main")
    (folder / "pushed.py").write_text("# ours\n")
    commit(folder, "Ours")


def rebase(folder: Path) -> None:
    merging(folder)
    git(folder, "rebase", "other", fails=True)


def merge(folder: Path) -> None:
    merging(folder)
    git(folder, "merge", "other", fails=True)


def dirty(folder: Path) -> None:
    (folder / "pushed.py").write_text("# edited\n")


@pytest.mark.parametrize(
    ("spoil", "sentence", "fix"),
    [
        (rebase, "A rebase is under way", "git rebase --abort"),
        (merge, "A merge is under way", "git merge --abort"),
        (dirty, "not as committed: pushed.py", "git stash"),
    ],
)
def test_what_is_no_commit_is_refused(spoil: Callable[[Path], None], sentence: str, fix: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    project_in(tmp_path, tmp_path / "stores")
    commit(tmp_path, "First")
    spoil(tmp_path)
    with pytest.raises(Conflict, match=sentence) as caught:
        commit_of(tmp_path)
    assert fix in caught.value.fix


def test_heads_of_all_sorts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="in no git repository"):
        commit_of(tmp_path)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    with pytest.raises(NotFound, match="has no commit yet"):
        commit_of(tmp_path)
    (tmp_path / "a").write_text("a")
    first = commit(tmp_path, "First")
    git(tmp_path, "checkout", "--quiet", "--detach")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as a hook has it
    assert commit_of(tmp_path) == first
    (tmp_path / "untracked").write_text("b")
    assert commit_of(tmp_path) == first
    assert not is_bare(tmp_path)
    assert hooks_of(tmp_path) == tmp_path.resolve() / ".git" / "hooks"


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="git is not installed here"):
        commit_of(tmp_path)


# The command


def ci(folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    """How `slipway ci` ended, and what it said."""
    command = [sys.executable, "-m", "slipway", "ci", *words]
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    assert "Traceback (most recent" not in done.stdout or "pushed.py" in done.stdout, done.stdout
    return done.returncode, done.stdout


@pytest.mark.full
def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    code, said = ci(tmp_path, "run")
    assert (code, "slipway.toml" in said) == (5, True)
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    project_in(folder, tmp_path / "stores")
    settings = (folder / "slipway.toml").read_text()
    (folder / "slipway.toml").write_text(settings.replace(f"{tmp_path}/stores/prod", f"{tmp_path}/stores/test"))
    code, said = ci(folder, "run")
    assert (code, "test and prod share the store" in said) == (2, True)
    (folder / "slipway.toml").write_text(settings.partition("[environments.test]")[0])
    code, said = ci(folder, "run")
    assert (code, "has no environment 'test'" in said) == (2, True)
    (folder / "slipway.toml").write_text(settings)
    (folder / "test_pushed.py").write_text("def test_it() -> None:\n    assert 1 + 1 == 3\n")
    commit(folder, "Broken")
    code, said = ci(folder, "run")
    assert (code, "1 of 12 checks failed" in said, "test_pushed::test_it" in said) == (4, True, True), said
    assert ci(folder, "status", "0000")[0] == 5
    assert "test, failed" in ci(folder, "status")[1]


@pytest.mark.full
def test_killed_while_it_trains_the_same_command_goes_on(tmp_path: Path) -> None:
    stores, folder = tmp_path / "stores", tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    project_in(folder, stores)
    prepare(stores)
    module = folder / "pushed.py"
    slow = "import time\n    time.sleep(60 if not os.path.exists(MARK) and not open(MARK, 'w').close() else 0)\n    return known"
    module.write_text(
        module.read_text()
        .replace("return known", slow)
        .replace("import slipway", f"import os\n\nMARK = {str(tmp_path / 'mark')!r}\nimport slipway")
    )
    commit(folder, "Slow once")
    command = [sys.executable, "-m", "slipway", "ci", "run", "--stage"]
    (tmp_path / "mark").touch()  # the checks train too, and are not what is killed here
    subprocess.run([*command, "test"], cwd=folder, capture_output=True, check=True)
    (tmp_path / "mark").unlink()
    with subprocess.Popen([*command, "train"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as begun:
        while not (tmp_path / "mark").exists():
            assert begun.poll() is None, begun.stderr and begun.stderr.read()
        begun.send_signal(signal.SIGKILL)
    code, said = ci(folder, "run", "--stage", "train")
    assert code == 0, said
    with open_project(folder) as project:
        (run,) = ci_runs(project.workspace)
        with project.workspace.ledger.read() as tx:
            runs = entries.find(tx, Run, project=NAME, limit=10)
    assert sorted(one.state for one in runs) == ["finished", "killed"]  # the killed one, and the one that resumed it
    assert (run.model, run.version) == (NAME, 1)
