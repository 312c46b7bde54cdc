"""Names in queries: a dashboard may only ask for what exists. A rule returns, in words, what breaks it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from egoscope.convert import semconv
from egoscope.convert.catalogue import METRICS, Kind
from tests.stack.interpolation import view
from tests.stack.panels import ALL
from tests.stack.query_names import Named, filtered_labels, made_labels, named_in, span_attributes, stream_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.stack.panels import Dashboard, Query

REPOSITORY: Final = Path(__file__).resolve().parents[2]
ALWAYS: Final = frozenset({"job", "instance"})
_HISTOGRAM: Final = ("_bucket", "_sum", "_count")
_SPAN_LABELS: Final = frozenset(
    {*ALWAYS, "service_name", "span_name", "status_code", "gen_ai_tool_name", "error_type", "le"}
)
# The Collector's receiver of the host: collector-config/host.yaml lets these pass, docs/host.md lists them.
HOST_METRICS: Final[Mapping[str, frozenset[str]]] = {
    f"system_{name}": ALWAYS | {"host_name", *labels}
    for name, labels in {
        "cpu_utilization_ratio": ("state",),
        "cpu_logical_count": (),
        **{f"cpu_load_average_{minutes}m": () for minutes in (1, 5, 15)},
        "memory_utilization_ratio": ("state",),
        "memory_usage_bytes": ("state",),
        "memory_limit_bytes": (),
        "linux_memory_available_bytes": (),
        "paging_usage_bytes": ("state",),
        "paging_faults_total": ("type",),
        "disk_io_bytes_total": ("device", "direction"),
        "disk_operations_total": ("device", "direction"),
        "disk_io_time_seconds_total": ("device",),
        "filesystem_utilization_ratio": ("mountpoint",),
        "filesystem_usage_bytes": ("mountpoint", "state"),
        "network_io_bytes_total": ("device", "direction"),
        "network_errors_total": ("device", "direction"),
        "network_dropped_total": ("device", "direction"),
        "processes_count": ("status",),
        "processes_created_total": (),
    }.items()
}
# What the servers tell of themselves, scraped or made; tests/stack/test_panels.py proves that what is asked for exists.
SERVER_METRICS: Final[Mapping[str, frozenset[str]]] = {
    "up": ALWAYS,
    "scrape_samples_scraped": ALWAYS,
    "process_start_time_seconds": ALWAYS,
    "process_resident_memory_bytes": ALWAYS,
    "process_cpu_seconds_total": ALWAYS,
    "go_memstats_heap_alloc_bytes": ALWAYS,
    "ALERTS": ALWAYS | {"alertname", "alertstate", "severity", "about", "tool", "signal"},
    "ALERTS_FOR_STATE": ALWAYS | {"alertname", "severity", "about", "tool", "signal"},
    # Made by our Collector, see collector-config/collector.yaml.
    "egoscope_second_layer_removals_total": ALWAYS | {"signal", "place"},
    **{f"traces_span_metrics_duration_seconds{one}": _SPAN_LABELS for one in _HISTOGRAM},
    "traces_span_metrics_calls_total": _SPAN_LABELS - {"le"},
    # The Collector about itself.
    **{
        f"otelcol_receiver_{what}_{signal}": ALWAYS | {"receiver", "transport"}
        for what in ("accepted", "refused", "failed")
        for signal in ("spans_total", "metric_points_total", "log_records_total")
    },
    **{
        f"otelcol_exporter_{what}_{signal}": ALWAYS | {"exporter"}
        for what in ("sent", "send_failed")
        for signal in ("spans_total", "metric_points_total", "log_records_total")
    },
    "otelcol_process_memory_rss_bytes": ALWAYS,
    "otelcol_process_cpu_seconds_total": ALWAYS,
    "otelcol_process_uptime_seconds_total": ALWAYS,
    # Prometheus.
    "prometheus_tsdb_head_series": ALWAYS,
    "prometheus_tsdb_head_samples_appended_total": ALWAYS | {"type"},
    "prometheus_tsdb_out_of_order_samples_appended_total": ALWAYS | {"type"},
    "prometheus_tsdb_out_of_order_samples_total": ALWAYS | {"type"},
    "prometheus_tsdb_out_of_bound_samples_total": ALWAYS | {"type"},
    "prometheus_tsdb_too_old_samples_total": ALWAYS | {"type"},
    "prometheus_tsdb_storage_blocks_bytes": ALWAYS,
    "prometheus_tsdb_head_chunks_storage_size_bytes": ALWAYS,
    "prometheus_tsdb_wal_storage_size_bytes": ALWAYS,
    "prometheus_tsdb_lowest_timestamp_seconds": ALWAYS,
    "prometheus_tsdb_retention_limit_bytes": ALWAYS,
    "prometheus_tsdb_retention_limit_seconds": ALWAYS,
    "prometheus_tsdb_size_retentions_total": ALWAYS,
    "prometheus_tsdb_time_retentions_total": ALWAYS,
    "prometheus_rule_evaluation_failures_total": ALWAYS | {"rule_group"},
    "prometheus_engine_query_duration_seconds": ALWAYS | {"quantile", "slice"},
    # Alertmanager.
    "alertmanager_notifications_total": ALWAYS | {"integration", "receiver_name"},
    "alertmanager_notifications_failed_total": ALWAYS | {"integration", "receiver_name", "reason"},
    # Loki.
    "loki_compactor_apply_retention_last_successful_run_timestamp_seconds": ALWAYS,
    "loki_discarded_samples_total": ALWAYS | {"reason", "tenant"},
    "loki_discarded_bytes_total": ALWAYS | {"reason", "tenant"},
    "loki_distributor_lines_received_total": ALWAYS | {"tenant"},
    "loki_distributor_bytes_received_total": ALWAYS | {"tenant"},
    "loki_ingester_memory_streams": ALWAYS | {"tenant"},
    "loki_boltdb_shipper_apply_retention_last_successful_run_timestamp_seconds": ALWAYS,
    # Tempo.
    "tempodb_retention_deleted_total": ALWAYS,
    "tempo_discarded_spans_total": ALWAYS | {"reason", "tenant"},
    "tempo_distributor_spans_received_total": ALWAYS | {"tenant"},
    "tempo_distributor_bytes_received_total": ALWAYS | {"tenant"},
}
# Labels that Loki gives every entry that comes by OTLP, beside our attributes.
LOKI_LABELS: Final = frozenset(
    (
        *("detected_level", "trace_id", "span_id", "severity_text", "severity_number", "observed_timestamp", "flags"),
        *("scope_name", "scope_version", "service_name", "service_instance_id", "service_version", "host_name"),
        *("telemetry_sdk_language", "telemetry_sdk_name", "telemetry_sdk_version", "egoscope_source", "schema_url"),
    )
)
STREAM_LABELS: Final = frozenset({"service_name", "service_instance_id"})
# Jobs that the configuration or a source's format fixes, so that naming one is no guess: the servers', the sidecar's
# own, and those of databases.
FIXED_JOBS: Final = frozenset(
    {
        semconv.SCOPE_NAME,
        *("kagura", "illumo", "koubou", "host"),
        *(
            group["labels"]["job"]
            for group in yaml.safe_load((REPOSITORY / "prometheus" / "targets" / "compose.yml").read_text("utf-8"))
        ),
    }
)


def _underscored(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _attributes() -> frozenset[str]:
    names = (value for key, value in vars(semconv).items() if key.isupper() and isinstance(value, str))
    return frozenset(name for name in names if re.fullmatch(r"[a-z_]+([.][a-z_]+)+", name))


def catalogue() -> dict[str, frozenset[str]]:
    """Return every metric that Prometheus can hold, with its labels: ours, the servers' and the recording rules'."""
    known = {**SERVER_METRICS, **HOST_METRICS}
    for metric in METRICS:
        # Promoted from the resource, where the machine has a name: prometheus/prometheus.yml.
        labels = ALWAYS | {"host_name"} | {_underscored(one) for one in metric.attributes}
        names = [metric.prometheus]
        if metric.kind is Kind.HISTOGRAM:
            names, labels = [metric.prometheus + end for end in _HISTOGRAM], labels | {"le"}
        known |= dict.fromkeys(names, labels)
    known["target_info"] = ALWAYS | {_underscored(one) for one in _attributes()}
    for path in sorted((REPOSITORY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    # level:metric:operation, the level being the labels that are left; a host is its name.
                    level = {"host_name" if one == "host" else one for one in rule["record"].split(":")[0].split("_")}
                    known[rule["record"]] = ALWAYS | level | frozenset(rule.get("labels") or ())
    return known


def asked(dashboard: Dashboard) -> Iterator[tuple[Query, str]]:
    """Yield every query with its text, variables filled in with anything that parses."""
    filled = {one.name: ["x"] for one in dashboard.variables if one.value == ALL}
    anything = view(0, 3600, dashboard.variables, filled)
    for query in dashboard.queries():
        yield query, anything.filled(query)


def promql_of(query: Query, text: str) -> str:
    """Return the PromQL in a query of whatever kind; empty where there is none (a list of label names)."""
    if query.kind != "variable":
        return text
    if found := re.fullmatch(r"query_result\((.*)\)", text, re.DOTALL):
        return found[1]
    if found := re.fullmatch(r"label_values\((.*),\s*\w+\)", text, re.DOTALL):
        return found[1]
    return ""


def metrics(dashboard: Dashboard) -> Iterator[str]:
    """Every metric exists, and every label that it is matched or grouped by is one of its own."""
    known = catalogue()
    for query, text in asked(dashboard):
        if query.source != "prometheus":
            continue
        named = named_in(promql_of(query, text))
        if not named.metrics and "label_names" not in text and "vector(" not in text:
            yield f"{query.what}: names no metric"
        yield from (f"{query.what}: {fault}" for fault in _faults(named, known))
        if (found := re.fullmatch(r"label_values\((?:.*,\s*)?(\w+)\)", text, re.DOTALL)) and not any(
            found[1] in known.get(metric, ()) for metric in named.metrics
        ):
            yield f"{query.what}: no metric there has a label {found[1]}"


def _faults(named: Named, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for metric, labels in named.metrics.items():
        if metric not in known:
            yield f"no metric is called {metric}"
            continue
        yield from (f"{metric} has no label {label}" for label in sorted(labels - known[metric]))
    every = named.made.union(*(known.get(metric, frozenset()) for metric in named.metrics))
    if named.metrics.keys() <= known.keys():
        yield from (f"grouped by {label}, which no metric there has" for label in sorted(named.grouped - every))


def constants(dashboard: Dashboard) -> Iterator[str]:
    """No query is tied to one job or one instance; jobs that the configuration fixes are the exception."""
    for query, text in asked(dashboard):
        if query.source == "prometheus":
            named = named_in(promql_of(query, text)).matchers
            tied = [(label, value) for label, _, value in named if label in ALWAYS]
        elif query.source == "loki":
            tied = [(label, value) for label, _, value in stream_labels(text) if label in STREAM_LABELS]
        else:
            continue
        for label, value in tied:
            fixed = value in {"", "x", ".*", ".+"} or {*value.split("|")} <= FIXED_JOBS
            if not fixed or (value not in {"", "x", ".*", ".+"} and "instance" in label):
                yield f'{query.what}: {label}="{value}" is hard-coded'


def attributes(dashboard: Dashboard) -> Iterator[str]:
    """Every label of Loki and every attribute of TraceQL is one that the sidecar sends or the server adds."""
    sent = {_underscored(one) for one in _attributes()} | LOKI_LABELS
    for query, text in asked(dashboard):
        if query.source == "loki" and query.kind != "variable":
            streams = {label for label, _, _ in stream_labels(text)}
            if not streams:
                yield f"{query.what}: no stream selector"
            yield from (f"{query.what}: streams have no label {one}" for one in sorted(streams - STREAM_LABELS))
            unknown = filtered_labels(text) - made_labels(text) - sent
            yield from (f"{query.what}: entries have no label {one}" for one in sorted(unknown))
        elif query.source == "tempo":
            unknown = span_attributes(text) - _attributes()
            yield from (f"{query.what}: spans have no attribute {one}" for one in sorted(unknown))
