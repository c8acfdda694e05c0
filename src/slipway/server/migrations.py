"""The page that says how far a team's old models have moved."""

from slipway.server.view import Context, View

__all__ = ["migration"]


def migration(view: View) -> Context:
    """Pilots with reasons, waves, and of each model its phases, gaps and the comparison with the old system."""
    return {"found": view.ask("migrations.get")}
