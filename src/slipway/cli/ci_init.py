"""`slipway ci init`: the pipeline of a CI system, or a hook of git."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slipway.cli.door import json_option
from slipway.cli.layout import print_json
from slipway.errors import InvalidInput

__all__ = ["init"]

_CHOICES = ("github", "gitlab", "hook", "jenkins", "bitbucket")


@click.command()
@click.option("--github", "system", flag_value="github", help="GitHub Actions: .github/workflows/slipway.yml.")
@click.option("--gitlab", "system", flag_value="gitlab", help="GitLab: .gitlab-ci.yml.")
@click.option("--jenkins", "system", flag_value="jenkins", help="Jenkins: Jenkinsfile.")
@click.option("--bitbucket", "system", flag_value="bitbucket", help="Bitbucket: bitbucket-pipelines.yml.")
@click.option(
    "--hook", "system", flag_value="hook", help="git alone: post-receive of a bare repository, pre-push of a clone."
)
@click.option("--branch", default="", metavar="NAME", help="The branch that goes to production; the present one.")
@click.option("--force", is_flag=True, help="Overwrite a file that somebody else wrote or edited.")
@click.option(
    "-C", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="The project's folder."
)
@json_option
def init(system: str | None, branch: str, force: bool, folder: Path | None, as_json: bool) -> None:
    """Write the pipeline that takes each push to production, by `slipway ci run`; all systems get the same stages."""
    from slipway.flows.ci_files import ci_file, hook, write
    from slipway.flows.ci_git import git, hooks_of, is_bare, top_of

    if system is None:
        raise InvalidInput(
            "No CI system is named.", fix=f"Name one: {', '.join(f'slipway ci init --{one}' for one in _CHOICES[:3])}"
        )
    place = (folder or Path()).resolve()
    if system == "hook":
        file = hook(hooks_of(place), is_bare=is_bare(place), python=sys.executable)
    else:
        if is_bare(place):
            raise InvalidInput(
                f"{place} is a bare repository: it has no files.", fix="slipway ci init --hook; or do it in a clone."
            )
        from slipway.hosts.settings import find_folder

        top = top_of(place)
        home = find_folder(place)
        within = home.relative_to(top.resolve()).as_posix() if home != top.resolve() else ""
        file = ci_file(
            system, top, branch=branch or git(place, "symbolic-ref", "--short", "HEAD") or "main", folder=within
        )
    is_new = write(file, force=force)
    if as_json:
        print_json({"file": str(file.path), "system": system, "is_new": is_new})
        return
    click.echo(f"{'Wrote' if is_new else 'Unchanged:'} {file.path}.")
    if system == "hook":
        click.echo("Each push runs it; see docs/ci-pipelines.md.")
    else:
        click.echo(f"Next: git add {file.path.relative_to(top)} && git commit -m 'Pushes go to production' && git push")
