"""Slipway: one way from a notebook to production for machine-learning models, and a way back up for repairs.

`import slipway as sw` loads nothing but this table; each name is imported when it is first used.
"""

TYPE_CHECKING = False  # type checkers know the name; importing `typing` would load twenty modules
if TYPE_CHECKING:
    from slipway import errors as errors
    from slipway.backends.lightgbm_parts import lightgbm_in_parts as lightgbm_in_parts
    from slipway.data.checks import between as between
    from slipway.data.checks import check as check
    from slipway.data.checks import custom_check as custom_check
    from slipway.data.checks import matches as matches
    from slipway.data.checks import not_null as not_null
    from slipway.data.checks import one_of as one_of
    from slipway.data.checks import references as references
    from slipway.data.checks import unique as unique
    from slipway.data.declare import table as table
    from slipway.data.fileset import fileset as fileset
    from slipway.data.sources import api as api
    from slipway.data.sources import custom_source as custom_source
    from slipway.data.sources import delta as delta
    from slipway.data.sources import files as files
    from slipway.data.sources import sql as sql
    from slipway.data.table_checks import fresh as fresh
    from slipway.data.table_checks import rows as rows
    from slipway.data.table_checks import stable as stable
    from slipway.features.scalars import feature as feature
    from slipway.features.sets import FeatureSet as FeatureSet
    from slipway.features.vectorised import vectorised as vectorised
    from slipway.features.views import feature_view as feature_view
    from slipway.features.windows import approx_distinct as approx_distinct
    from slipway.features.windows import count as count
    from slipway.features.windows import decayed_mean as decayed_mean
    from slipway.features.windows import last as last
    from slipway.features.windows import max_ as max
    from slipway.features.windows import mean as mean
    from slipway.features.windows import min_ as min
    from slipway.features.windows import quantile as quantile
    from slipway.features.windows import std as std
    from slipway.features.windows import sum_ as sum
    from slipway.features.windows import windows as windows
    from slipway.flows.batch_endpoint import BatchEndpoint as BatchEndpoint
    from slipway.flows.endpoint import Endpoint as Endpoint
    from slipway.flows.endpoint_of import endpoint_of as endpoint_of
    from slipway.flows.fallback import Fallback as Fallback
    from slipway.flows.fallback import earlier_version as earlier_version
    from slipway.flows.log import Log as Log
    from slipway.flows.promotion import Promoted as Promoted
    from slipway.flows.promotion import Promotion as Promotion
    from slipway.flows.retrain import Retrain as Retrain
    from slipway.flows.schedule import Schedule as Schedule
    from slipway.flows.schedule import today as today
    from slipway.flows.shared import shared as shared
    from slipway.flows.streams import redis_stream as redis_stream
    from slipway.flows.triggers import cron as cron
    from slipway.flows.triggers import custom_trigger as custom_trigger
    from slipway.flows.triggers import degraded as degraded
    from slipway.flows.triggers import new_labels as new_labels
    from slipway.flows.triggers import on_hook as on_hook
    from slipway.flows.triggers import on_incident as on_incident
    from slipway.flows.triggers import on_push as on_push
    from slipway.flows.triggers import on_table as on_table
    from slipway.flows.warm_start import warm_start as warm_start
    from slipway.gates.behaviour import data_checks as data_checks
    from slipway.gates.behaviour import documented as documented
    from slipway.gates.behaviour import fair as fair
    from slipway.gates.behaviour import invariant as invariant
    from slipway.gates.behaviour import kpi as kpi
    from slipway.gates.behaviour import monotonic as monotonic
    from slipway.gates.behaviour import no_leakage as no_leakage
    from slipway.gates.behaviour import real_data as real_data
    from slipway.gates.behaviour import robust as robust
    from slipway.gates.declare import Gate as Gate
    from slipway.gates.declare import approval as approval
    from slipway.gates.declare import calibrated as calibrated
    from slipway.gates.declare import consistent as consistent
    from slipway.gates.declare import contract_signed as contract_signed
    from slipway.gates.declare import environment_resolves as environment_resolves
    from slipway.gates.declare import latency as latency
    from slipway.gates.declare import load as load
    from slipway.gates.declare import metric as metric
    from slipway.gates.declare import no_finding as no_finding
    from slipway.gates.declare import no_skew as no_skew
    from slipway.gates.declare import replayed as replayed
    from slipway.gates.declare import reproduced as reproduced
    from slipway.hosts.session import baselines as baselines
    from slipway.hosts.session import open as open
    from slipway.hosts.session import run as run
    from slipway.hosts.session import search as search
    from slipway.models.decision import price as price
    from slipway.models.decision import threshold as threshold
    from slipway.models.evaluation import evaluate as evaluate
    from slipway.models.explained import explain as explain
    from slipway.models.held_out_rows import held_out as held_out
    from slipway.models.inputs import inputs as inputs
    from slipway.models.known import Known as Known
    from slipway.models.kpi import tuned_threshold as tuned_threshold
    from slipway.models.model import Model as Model
    from slipway.monitoring.custom import custom_monitor as custom_monitor
    from slipway.monitoring.declare import KPI as KPI
    from slipway.monitoring.declare import Consistency as Consistency
    from slipway.monitoring.declare import Drift as Drift
    from slipway.monitoring.declare import EstimatedQuality as EstimatedQuality
    from slipway.monitoring.declare import Freshness as Freshness
    from slipway.monitoring.declare import Quality as Quality
    from slipway.monitoring.service import Service as Service
    from slipway.pipelines.declare import pipeline as pipeline
    from slipway.pipelines.declare import step as step
    from slipway.pipelines.mapping import each as each
    from slipway.pipelines.search_space import choice as choice
    from slipway.pipelines.search_space import integers as integers
    from slipway.pipelines.search_space import uniform as uniform
    from slipway.rollout.declare import Canary as Canary
    from slipway.rollout.declare import Shadow as Shadow
    from slipway.rollout.old_system import OldSystem as OldSystem
    from slipway.runs.tracking import active_run as active_run
    from slipway.schema.metric_contract import Hypothesis as Hypothesis
    from slipway.schema.metric_contract import MetricContract as MetricContract
    from slipway.tables.row_batches import Batches as Batches

__version__ = "0.1.0"

_HOMES = {
    "BatchEndpoint": "slipway.flows.batch_endpoint",
    "Batches": "slipway.tables.row_batches",
    "Canary": "slipway.rollout.declare",
    "Consistency": "slipway.monitoring.declare",
    "Drift": "slipway.monitoring.declare",
    "Endpoint": "slipway.flows.endpoint",
    "EstimatedQuality": "slipway.monitoring.declare",
    "Fallback": "slipway.flows.fallback",
    "FeatureSet": "slipway.features.sets",
    "Freshness": "slipway.monitoring.declare",
    "Gate": "slipway.gates.declare",
    "Hypothesis": "slipway.schema.metric_contract",
    "KPI": "slipway.monitoring.declare",
    "Known": "slipway.models.known",
    "Log": "slipway.flows.log",
    "held_out": "slipway.models.held_out_rows",
    "MetricContract": "slipway.schema.metric_contract",
    "Model": "slipway.models.model",
    "OldSystem": "slipway.rollout.old_system",
    "Promoted": "slipway.flows.promotion",
    "Promotion": "slipway.flows.promotion",
    "Quality": "slipway.monitoring.declare",
    "Retrain": "slipway.flows.retrain",
    "Schedule": "slipway.flows.schedule",
    "Service": "slipway.monitoring.service",
    "Shadow": "slipway.rollout.declare",
    "active_run": "slipway.runs.tracking",
    "api": "slipway.data.sources",
    "approval": "slipway.gates.declare",
    "approx_distinct": "slipway.features.windows",
    "baselines": "slipway.hosts.session",
    "between": "slipway.data.checks",
    "calibrated": "slipway.gates.declare",
    "check": "slipway.data.checks",
    "choice": "slipway.pipelines.search_space",
    "consistent": "slipway.gates.declare",
    "contract_signed": "slipway.gates.declare",
    "count": "slipway.features.windows",
    "cron": "slipway.flows.triggers",
    "custom_check": "slipway.data.checks",
    "custom_monitor": "slipway.monitoring.custom",
    "custom_source": "slipway.data.sources",
    "custom_trigger": "slipway.flows.triggers",
    "data_checks": "slipway.gates.behaviour",
    "decayed_mean": "slipway.features.windows",
    "degraded": "slipway.flows.triggers",
    "delta": "slipway.data.sources",
    "documented": "slipway.gates.behaviour",
    "each": "slipway.pipelines.mapping",
    "earlier_version": "slipway.flows.fallback",
    "endpoint_of": "slipway.flows.endpoint_of",
    "environment_resolves": "slipway.gates.declare",
    "errors": "slipway",
    "evaluate": "slipway.models.evaluation",
    "explain": "slipway.models.explained",
    "fair": "slipway.gates.behaviour",
    "feature": "slipway.features.scalars",
    "feature_view": "slipway.features.views",
    "files": "slipway.data.sources",
    "fileset": "slipway.data.fileset",
    "fresh": "slipway.data.table_checks",
    "inputs": "slipway.models.inputs",
    "integers": "slipway.pipelines.search_space",
    "invariant": "slipway.gates.behaviour",
    "kpi": "slipway.gates.behaviour",
    "last": "slipway.features.windows",
    "latency": "slipway.gates.declare",
    "lightgbm_in_parts": "slipway.backends.lightgbm_parts",
    "load": "slipway.gates.declare",
    "matches": "slipway.data.checks",
    "max": "slipway.features.windows:max_",
    "mean": "slipway.features.windows",
    "metric": "slipway.gates.declare",
    "min": "slipway.features.windows:min_",
    "monotonic": "slipway.gates.behaviour",
    "new_labels": "slipway.flows.triggers",
    "no_finding": "slipway.gates.declare",
    "no_leakage": "slipway.gates.behaviour",
    "no_skew": "slipway.gates.declare",
    "not_null": "slipway.data.checks",
    "on_hook": "slipway.flows.triggers",
    "on_incident": "slipway.flows.triggers",
    "on_push": "slipway.flows.triggers",
    "on_table": "slipway.flows.triggers",
    "one_of": "slipway.data.checks",
    "open": "slipway.hosts.session",
    "pipeline": "slipway.pipelines.declare",
    "price": "slipway.models.decision",
    "quantile": "slipway.features.windows",
    "real_data": "slipway.gates.behaviour",
    "redis_stream": "slipway.flows.streams",
    "references": "slipway.data.checks",
    "replayed": "slipway.gates.declare",
    "reproduced": "slipway.gates.declare",
    "robust": "slipway.gates.behaviour",
    "rows": "slipway.data.table_checks",
    "run": "slipway.hosts.session",
    "search": "slipway.hosts.session",
    "shared": "slipway.flows.shared",
    "sql": "slipway.data.sources",
    "stable": "slipway.data.table_checks",
    "std": "slipway.features.windows",
    "step": "slipway.pipelines.declare",
    "sum": "slipway.features.windows:sum_",
    "table": "slipway.data.declare",
    "threshold": "slipway.models.decision",
    "today": "slipway.flows.schedule",
    "tuned_threshold": "slipway.models.kpi",
    "uniform": "slipway.pipelines.search_space",
    "unique": "slipway.data.checks",
    "vectorised": "slipway.features.vectorised",
    "warm_start": "slipway.flows.warm_start",
    "windows": "slipway.features.windows",
}

__all__ = [
    "BatchEndpoint",
    "Batches",
    "Canary",
    "Consistency",
    "Drift",
    "Endpoint",
    "EstimatedQuality",
    "Fallback",
    "FeatureSet",
    "Freshness",
    "Gate",
    "Hypothesis",
    "KPI",
    "Known",
    "Log",
    "MetricContract",
    "Model",
    "OldSystem",
    "Promoted",
    "Promotion",
    "Quality",
    "Retrain",
    "Schedule",
    "Service",
    "Shadow",
    "active_run",
    "api",
    "approval",
    "approx_distinct",
    "baselines",
    "between",
    "calibrated",
    "check",
    "choice",
    "consistent",
    "contract_signed",
    "count",
    "cron",
    "custom_check",
    "custom_monitor",
    "custom_source",
    "custom_trigger",
    "data_checks",
    "decayed_mean",
    "degraded",
    "delta",
    "documented",
    "each",
    "earlier_version",
    "endpoint_of",
    "environment_resolves",
    "errors",
    "evaluate",
    "explain",
    "fair",
    "feature",
    "feature_view",
    "files",
    "fileset",
    "fresh",
    "held_out",
    "inputs",
    "integers",
    "invariant",
    "kpi",
    "last",
    "latency",
    "lightgbm_in_parts",
    "load",
    "matches",
    "max",
    "mean",
    "metric",
    "min",
    "monotonic",
    "new_labels",
    "no_finding",
    "no_leakage",
    "no_skew",
    "not_null",
    "on_hook",
    "on_incident",
    "on_push",
    "on_table",
    "one_of",
    "open",
    "pipeline",
    "price",
    "quantile",
    "real_data",
    "redis_stream",
    "references",
    "replayed",
    "reproduced",
    "robust",
    "rows",
    "run",
    "search",
    "shared",
    "sql",
    "stable",
    "std",
    "step",
    "sum",
    "table",
    "threshold",
    "today",
    "tuned_threshold",
    "uniform",
    "unique",
    "vectorised",
    "warm_start",
    "windows",
]


def __getattr__(name: str) -> object:
    """Import a name's home the first time the name is used."""
    home = _HOMES.get(name)
    if home is None:
        from slipway.elsewhere import hint

        raise AttributeError(f"module 'slipway' has no attribute {name!r}.{hint(name)} It has: {', '.join(__all__)}")
    from importlib import import_module

    module, _, attribute = home.partition(":")
    if module == "slipway":
        found: object = import_module(f"slipway.{name}")
    else:
        found = getattr(import_module(module), attribute or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
