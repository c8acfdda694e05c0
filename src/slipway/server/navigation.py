"""Where every page is found: the sections of the menu, each page by the word of its address and by its templates."""

from typing import NamedTuple

__all__ = ["OF_PROJECT", "OF_STORE", "Entry"]


class Entry(NamedTuple):
    """One line of the menu.

    Args:
        word: The last part of its address.
        title: As people read it.
        below: The templates of pages that belong to it, besides its own, which is called as the word.
    """

    word: str
    title: str
    below: tuple[str, ...] = ()

    def is_here(self, template: str) -> bool:
        """Whether a page of this template belongs to it."""
        return template in (self.word, *self.below)


OF_STORE: tuple[Entry, ...] = (
    Entry("inbox", "Inbox"),
    Entry("portfolio", "Portfolio"),
    Entry("executions", "Executions"),
    Entry("comments", "Comments", ("said",)),
    Entry("people", "People"),
    Entry("settings", "Settings"),
)
"""The pages over all projects."""

OF_PROJECT: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Data",
        (
            Entry("tables", "Tables", ("table", "table_changes")),
            Entry("features", "Features", ("feature",)),
            Entry("catalog", "Catalogue", ("lineage",)),
        ),
    ),
    (
        "Build",
        (
            Entry(
                "runs",
                "Runs",
                ("run", "compare", "curves", "step_log", "artifact", "logged", "start", "begun", "notebook_diff"),
            ),
            Entry("executions", "Executions"),
            Entry("schedules", "Schedules", ("schedule",)),
        ),
    ),
    (
        "Release",
        (
            Entry("models", "Models", ("model", "versions", "what_if")),
            Entry("endpoints", "Endpoints", ("endpoint", "serving", "decide", "try", "simulation")),
            Entry("handovers", "Hand-overs", ("handover",)),
            Entry("documents", "Documents", ("document",)),
        ),
    ),
    (
        "Operate",
        (
            Entry("monitoring", "Monitoring", ("watched", "monitoring_column")),
            Entry("incidents", "Incidents", ("incident", "run_book")),
        ),
    ),
    (
        "Business",
        (
            Entry("business", "For the business", ("business_list",)),
            Entry("scopes", "Scopes", ("scope", "study")),
            Entry("contracts", "Metric contracts", ("contract",)),
            Entry("journey", "Journey", ("journey_model",)),
            Entry("migration", "Migration"),
            Entry("costs", "Costs", ("cost",)),
        ),
    ),
    ("Govern", (Entry("comments", "Comments", ("said",)), Entry("audit", "Audit"), Entry("trash", "Trash"))),
)
"""The pages of one project, by section."""
