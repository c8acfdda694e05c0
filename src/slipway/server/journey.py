"""The pages that say how far models have come, and what they cost."""

from slipway.server.view import Context, View

__all__ = ["cost", "costs", "journey", "model"]


def journey(view: View) -> Context:
    """All models of a project: level, next steps, delivery and friction."""
    return {"found": view.ask("journey.all")}


def model(view: View) -> Context:
    """One model: every item, shown or missing."""
    return {"found": view.ask("journey.model", name=view.path["name"])}


def costs(view: View) -> Context:
    """What all models and endpoints of a project cost, and what is idle."""
    return {"found": view.ask("costs.all")}


def cost(view: View) -> Context:
    """What one model, endpoint or run costs."""
    return {"found": view.ask("costs.get", name=view.path["name"]), "name": view.path["name"]}
