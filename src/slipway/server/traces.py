"""The way from source columns to predictions as a picture: columns, features, models, endpoints, with where each leads."""

from urllib.parse import urlencode

from markupsafe import Markup

from slipway.charts.lineage import Node, lineage_graph
from slipway.operations.catalog import Trace, TracedFeature, TracedModel
from slipway.server.formats import href

__all__ = ["left_out", "picture"]

_MOST = 60
"""A picture of more columns or features shows tables in their place, and kinds of features."""
_SORTS = {"windows": "windows", "view": "feature views", "scalar": "scalar functions", "request": "request fields"}


def picture(trace: Trace, project: str) -> Markup | str:
    """The graph of a trace, "" where there is nothing to draw.

    Args:
        trace: What leads through what was asked for.
        project: Whose page it is.
    """
    if not trace.columns and not trace.features and not trace.models:
        return ""
    is_wide = _is_wide(trace)
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}
    known = set(trace.columns)
    made = {one.name: _feature_node(one, project, is_wide=is_wide) for one in trace.features}
    for one in trace.features:
        for column in one.columns:
            if column in known:
                source = _column_node(column, project, is_wide=is_wide)
                nodes[source.id] = source
                edges[source.id, made[one.name].id] = None
    nodes |= {node.id: node for node in made.values()}
    for model in trace.models:
        node = _model_node(model)
        nodes[node.id] = node
        edges |= {(made[name].id, node.id): None for name in model.features if name in made}
        for column in model.beside:
            source = _column_node(column, project, is_wide=is_wide)
            nodes[source.id] = source
            edges[source.id, node.id] = None
        for name in model.endpoints:
            target = Node(
                f"endpoint:{model.project}/{name}", "endpoint", name, href("projects", model.project, "endpoints", name)
            )
            nodes[target.id] = target
            edges[node.id, target.id] = None
    for column in trace.columns:
        source = _column_node(column, project, is_wide=is_wide)
        nodes.setdefault(source.id, source)
    if trace.prediction is not None:
        told = trace.prediction
        nodes["prediction"] = Node("prediction", "prediction", told.id)
        edges[f"endpoint:{project}/{told.endpoint}", "prediction"] = None
    focus = _column_node(trace.columns[0], project, is_wide=is_wide).id if len(trace.columns) == 1 else ""
    title = f"From source column to prediction, through {trace.what}"
    return Markup(
        lineage_graph(list(nodes.values()), list(edges), title=title, focus=focus)
    )  # its texts are escaped there


def left_out(trace: Trace) -> bool:
    """Whether the picture shows tables in the place of columns."""
    return _is_wide(trace)


def _is_wide(trace: Trace) -> bool:
    return len(trace.columns) + len(trace.features) > _MOST


def _column_node(column: str, project: str, *, is_wide: bool) -> Node:
    """A column; its table where the picture would be too full; a field of requests."""
    table, dot, _ = column.rpartition(".")
    if table == "request":
        if is_wide:
            return Node("request", "request", "fields of requests")
        return Node(f"column:{column}", "request", column.removeprefix("request."), _asks(project, column))
    if not dot or is_wide:
        name = table if dot else column
        owner, slash, own = name.partition("/")
        address = href("projects", owner, "tables", own) if slash else href("projects", project, "tables", name)
        return Node(f"table:{name}", "table", name, address)
    return Node(f"column:{column}", "column", column, _asks(project, column))


def _feature_node(one: TracedFeature, project: str, *, is_wide: bool) -> Node:
    if is_wide:
        return Node(f"features:{one.sort}", "features", _SORTS[one.sort], href("projects", project, "features"))
    return Node(f"feature:{one.project}/{one.name}", "feature", one.name, _asks(project, one.name))


def _model_node(model: TracedModel) -> Node:
    address = href("projects", model.project, "models", model.name, model.number)
    return Node(f"model:{model.project}/{model.name}:{model.number}", "model", f"{model.name} {model.number}", address)


def _asks(project: str, what: str) -> str:
    return f"{href('projects', project, 'lineage')}?{urlencode({'what': what})}"
