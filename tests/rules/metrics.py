"""The servers' own metrics that rules may name. tests/stack/test_alerting.py sees them in a real Prometheus."""

from __future__ import annotations

from typing import Final

# There from a server's start.
ALWAYS: Final = frozenset(
    {
        "up",
        "alertmanager_notifications_failed_total",
        "prometheus_notifications_dropped_total",
        "prometheus_rule_evaluation_failures_total",
        "prometheus_tsdb_out_of_bound_samples_total",
        "prometheus_tsdb_out_of_order_samples_total",
        "prometheus_tsdb_too_old_samples_total",
    }
)
# Made with the first value; the test makes one.
WITH_THE_FIRST: Final = frozenset({"egoscope_second_layer_removals_total", "loki_discarded_samples_total"})
# Made with the first value, which cannot be had on demand: from the servers' documentation.
NOT_SEEN: Final = frozenset(
    {
        "otelcol_processor_refused_log_records_total",
        "otelcol_processor_refused_metric_points_total",
        "otelcol_processor_refused_spans_total",
        "tempo_discarded_spans_total",
    }
)
OF_SERVERS: Final = ALWAYS | WITH_THE_FIRST | NOT_SEEN
# What the Collector tells of the machine it runs on, where it is asked to.
OF_THE_HOST: Final = frozenset(
    {
        "system_cpu_utilization_ratio",
        "system_filesystem_utilization_ratio",
        "system_memory_limit_bytes",
        "system_memory_utilization_ratio",
    }
)
