"""The command line: words in, words out. One file a group of commands, imported when it is chosen.

`slipway --help` needs click and the table below only. What a command does is an operation or a flow; how a failure
ends (sentence, exit code) is decided in `exits.py`.
"""

from importlib import import_module
from typing import Any

import click

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("slipway.cli.demo", "demo", "From raw data to a model answering in production, with real flights."),
    "scope": ("slipway.cli.scope", "scope", "Write down what a model is wanted for; see how far it is shown."),
    "journey": ("slipway.cli.journey", "journey", "Say how far each model has come, and what brings it further."),
    "cost": ("slipway.cli.cost", "cost", "Say what runs, models and endpoints cost, and what is idle."),
    "new": ("slipway.cli.new", "new", "Make a small project that runs."),
    "import": ("slipway.cli.importing", "import_", "Move models and their history in, proven to answer as before."),
    "migrate": ("slipway.cli.migrate", "migrate", "Move a team's old models: a pilot first, then waves, by evidence."),
    "run": ("slipway.cli.run", "run", "Run a pipeline of the project."),
    "schedules": (
        "slipway.cli.schedules",
        "schedules",
        "Let pipelines run by themselves; see what ran and what is next.",
    ),
    "runs": ("slipway.cli.runs", "runs", "List, search, show or compare runs."),
    "reproduce": ("slipway.cli.reproduce", "reproduce", "Run a run again from what is stored, and compare."),
    "rerun": ("slipway.cli.rerun", "rerun", "Start from an old run with only the named change."),
    "why": ("slipway.cli.why", "why", "Say why a step ran, or why it did not have to."),
    "env": ("slipway.cli.env", "env", "Make, compare, list or destroy environments; write a lock file."),
    "data": ("slipway.cli.data", "data", "List tables, show one's versions and checks, or ingest."),
    "catalog": ("slipway.cli.catalog", "catalog", "Search tables and features; trace a value to its source."),
    "share": ("slipway.cli.share", "share", "Share features, tables and steps with other projects."),
    "features": ("slipway.cli.features", "features", "List features, show, test or certify them."),
    "erase": ("slipway.cli.erase", "erase", "Erase a person's rows everywhere, and prove it."),
    "models": ("slipway.cli.models", "models", "List models, show one, or point an alias at a version."),
    "card": ("slipway.cli.documents", "card", "Show a model's card: from evidence, answered, missing."),
    "documents": (
        "slipway.cli.documents",
        "documents",
        "Data sheets, Annex IV drafts, bills of materials, provenance; answer what they ask.",
    ),
    "what-if": ("slipway.cli.what_if", "what_if", "Change an input of a row, and see what a model answers."),
    "diff": ("slipway.cli.diff", "diff", "Say in words which parts of two model versions moved."),
    "trash": ("slipway.cli.trash", "trash", "Delete runs, experiments and models; restore or purge them."),
    "ci": ("slipway.cli.ci", "ci", "Test the project as one suite; take each push to production."),
    "check-load": ("slipway.cli.check_load", "check_load", "Measure a model under load before it is released."),
    "check-target": (
        "slipway.cli.check_target",
        "check_target",
        "Ask whether what a model needs can be installed on another machine.",
    ),
    "replay": ("slipway.cli.check_load", "replay", "Ask stored training rows over HTTP, and compare."),
    "approve": ("slipway.cli.approve", "approve", "Approve a model version, or a policy ahead of time."),
    "contract": ("slipway.cli.contract", "contract", "See, draft and sign what a model is for: its KPI."),
    "business": ("slipway.cli.business", "business", "See a model as the business does; share or mail just that."),
    "floor": ("slipway.cli.floor", "floor", "See or set what an environment asks of every model."),
    "deploy": ("slipway.cli.deploy", "deploy", "Judge a model by its gate and, when it passes, let it serve."),
    "promote": ("slipway.cli.promote", "promote", "Take a version from dev to test to prod, stage by stage."),
    "rollback": ("slipway.cli.deploy", "rollback", "Let serve again what served before."),
    "score": ("slipway.cli.score", "score", "Score the new rows of a batch endpoint's table."),
    "rollout": ("slipway.cli.rollout", "rollout", "See how a roll-out stands, or end it."),
    "abtest": ("slipway.cli.abtest", "abtest", "Compare versions by a business metric, side by side."),
    "retrain": ("slipway.cli.rollout", "retrain", "Train an endpoint's model again from its snapshot."),
    "story": ("slipway.cli.story", "story", "Tell what the loop did at an endpoint, from alarm to outcome."),
    "monitor": ("slipway.cli.monitor", "monitor", "Show what the monitors of an endpoint see."),
    "endpoints": ("slipway.cli.endpoints", "endpoints", "List endpoints, show, watch or stop one."),
    "incidents": ("slipway.cli.incidents", "incidents", "See what is wrong, and say what becomes of it."),
    "predict": ("slipway.cli.predict", "predict", "Ask an endpoint for predictions."),
    "client": (
        "slipway.cli.client",
        "client",
        "Write a client, an OpenAPI description and a curl line of an endpoint.",
    ),
    "labels": ("slipway.cli.predict", "labels", "Send an endpoint the labels that became known."),
    "people": ("slipway.cli.people", "people", "Make people known, and give or take their roles."),
    "inbox": ("slipway.cli.comments", "inbox", "Show what needs you, and what you are told."),
    "comment": ("slipway.cli.comments", "comment", "Comment on a run, version, verdict, incident or table."),
    "handover": ("slipway.cli.responsibility", "handover", "Hand a model over to its next owner."),
    "tokens": ("slipway.cli.people", "tokens", "Make, list or end the tokens by which people are known."),
    "whoami": ("slipway.cli.people", "whoami", "Say as whom you are known here."),
    "audit": ("slipway.cli.audit", "audit", "Prove what happened, and tell what was serving when, and why."),
    "simulate": ("slipway.cli.simulate", "simulate", "Try a retraining policy on a past period before trusting it."),
    "up": ("slipway.cli.up", "up", "Serve the pages and the API of a store."),
    "backup": ("slipway.cli.backup", "backup", "Copy a store while it is in use; what is there is not copied again."),
    "restore": ("slipway.cli.backup", "restore", "Make a store out of a backup, or look whether one is whole."),
    "support-bundle": (
        "slipway.cli.support",
        "support_bundle",
        "Write what a supporter needs, without data or secrets.",
    ),
    "export": ("slipway.cli.export", "export", "Write a pipeline as a Kubernetes Job or a Kubeflow pipeline."),
    "api": ("slipway.cli.api", "api", "Call any operation by name; without a name, list them."),
    "doctor": ("slipway.cli.doctor", "doctor", "Look whether everything that Slipway needs is there."),
}

_MEANT = {
    "init": "slipway new",
    "list": "slipway runs list, slipway models list, slipway endpoints list",
    "logs": "slipway runs logs RUN, slipway endpoints show NAME",
    "serve": "slipway deploy",
    "server": "slipway up",
    "start": "slipway deploy, slipway up",
    "status": "slipway endpoints list, slipway inbox, slipway story",
    "stop": "slipway endpoints stop NAME",
    "train": "slipway run",
    "ui": "slipway up",
}
"""What words mean that other tools have as commands."""
_INTERRUPTED = 130


class _Commands(click.Group):
    """Imports a command when it is chosen, and ends every failure in a sentence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["slipway.json"] = "--json" in args  # errors are said that way too, those of parsing among them
        return super().parse_args(ctx, args or ["--help"])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from slipway.errors import NotFound, near

            meant = (
                f"You may want: {_MEANT[args[0]]}." if args[0] in _MEANT else near(args[0], COMMANDS, what="commands")
            )
            raise NotFound(f"There is no command {args[0]!r}.", fix=f"{meant} All of them: slipway --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        from slipway.errors import SlipwayError

        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError as asked:  # `slipway runs` asks what there is: that is no mistake
            click.echo(asked.format_message())
        except (SlipwayError, click.UsageError) as problem:
            from slipway.cli.exits import finish

            finish(problem, as_json=ctx.meta["slipway.json"])
        except KeyboardInterrupt:
            click.echo("Interrupted. What was done stays; say the same again to go on.", err=True)
            ctx.exit(_INTERRUPTED)


def _print_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"slipway {version('slipway')}")
        ctx.exit()


@click.command(
    "slipway",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has --json, and --help with its options.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def main() -> None:
    """Slipway: one way from a notebook to production, verified at every step."""
