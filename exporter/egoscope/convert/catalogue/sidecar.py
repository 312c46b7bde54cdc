"""The sidecar's own reading, with totals kept in the state file, and the sidecar about itself, now."""

from __future__ import annotations

from typing import Final

from egoscope.convert import semconv as s
from egoscope.convert.catalogue.metric import Kind, Metric

REDACTIONS: Final = Metric(
    name="egoscope.redactions",
    kind=Kind.COUNTER,
    unit="{value}",
    description="Field values by what redaction did with them (kept, pseudonymised, counted, dropped) and why",
    attributes=(s.LABEL_SOURCE, s.FIELD, s.ACTION, s.REASON),
    prometheus="egoscope_redactions_total",
)
UNPARSABLE: Final = Metric(
    name="egoscope.lines.unparsable",
    kind=Kind.COUNTER,
    unit="{line}",
    description="Lines that could not be read as a record, by reason; each still stands in the log as REDACTED",
    attributes=(s.LABEL_SOURCE, s.REASON),
    prometheus="egoscope_lines_unparsable_total",
)
REJECTED: Final = Metric(
    name="egoscope.rejected",
    kind=Kind.COUNTER,
    unit="{item}",
    description="Spans, points and log records a back end refused for good, by signal and reason",
    attributes=(s.SIGNAL, s.REASON),
    prometheus="egoscope_rejected_total",
)
SOURCE_PROBLEMS: Final = Metric(
    name="egoscope.source.problems",
    kind=Kind.COUNTER,
    unit="{look}",
    description="Looks at a source that could not be read just then, by source and reason",
    attributes=(s.LABEL_SOURCE, s.REASON),
    prometheus="egoscope_source_problems_total",
)
START_TIME: Final = Metric(
    name="egoscope.start.time",
    kind=Kind.GAUGE,
    unit="s",
    description="Unix time at which the sidecar started",
    prometheus="egoscope_start_time_seconds",
)

# The sidecar about itself, now; through the OpenTelemetry SDK.
LAG_TIME: Final = Metric(
    name="egoscope.lag.time",
    kind=Kind.GAUGE,
    unit="s",
    description="How long the oldest unsent change has been waiting",
    prometheus="egoscope_lag_time_seconds",
)
LAG_BYTES: Final = Metric(
    name="egoscope.lag.size",
    kind=Kind.GAUGE,
    unit="By",
    description="Bytes in the followed files that were not read yet",
    prometheus="egoscope_lag_size_bytes",
)
OUTBOX_BYTES: Final = Metric(
    name="egoscope.outbox.size",
    kind=Kind.GAUGE,
    unit="By",
    description="Bytes of requests that wait to be accepted",
    prometheus="egoscope_outbox_size_bytes",
)
OUTBOX_LIMIT: Final = Metric(
    name="egoscope.outbox.limit",
    kind=Kind.GAUGE,
    unit="By",
    description="Bound of the outbox; reading stops there",
    prometheus="egoscope_outbox_limit_bytes",
)
FILES: Final = Metric(
    name="egoscope.files",
    kind=Kind.GAUGE,
    unit="{file}",
    description="Files being followed",
    prometheus="egoscope_files",
)
DISK_FREE: Final = Metric(
    name="egoscope.disk.free",
    kind=Kind.GAUGE,
    unit="By",
    description="Bytes free on the disk of the state directory; in docker compose the back ends lie on the same one",
    prometheus="egoscope_disk_free_bytes",
)
DISK_SIZE: Final = Metric(
    name="egoscope.disk.size",
    kind=Kind.GAUGE,
    unit="By",
    description="Size of the disk of the state directory",
    prometheus="egoscope_disk_size_bytes",
)
UTC_OFFSET: Final = Metric(
    name="egoscope.utc_offset",
    kind=Kind.GAUGE,
    unit="s",
    description="How far local time is ahead of UTC where the agent lives; tells the hour of the day",
    prometheus="egoscope_utc_offset_seconds",
)
BUDGET: Final = Metric(
    name="egoscope.budget.usd",
    kind=Kind.GAUGE,
    unit="{USD}",
    description="What agents may cost a month, in US dollars, as the settings say",
    prometheus="egoscope_budget_usd",
)
WORKERS_EXPECTED: Final = Metric(
    name="egoscope.workers.expected",
    kind=Kind.GAUGE,
    unit="{worker}",
    description="How many workers there should be at least, as the settings say",
    prometheus="egoscope_workers_expected",
)
SENDS: Final = Metric(
    name="egoscope.sends",
    kind=Kind.COUNTER,
    unit="{request}",
    description="Requests sent, by signal and outcome (accepted, rejected, refused, unavailable)",
    attributes=(s.SIGNAL, s.LABEL_OUTCOME),
    prometheus="egoscope_sends_total",
)
