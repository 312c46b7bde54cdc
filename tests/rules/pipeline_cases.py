"""When the alerts about the way from log to dashboard fire, and when they do not."""

from __future__ import annotations

import re
from typing import Final

from tests.rules.promtool import Case

SIDECAR: Final = '{job="egoscope",instance="s"}'
OF_SIDECAR: Final = {"job": "egoscope", "instance": "s"}
OF_MACHINE: Final = {**OF_SIDECAR, "host_name": "m"}
REMOVALS: Final = 'egoscope_second_layer_removals_total{job="otelcol",instance="c",signal="logs",place="body"}'
REMOVAL: Final = {"signal": "logs", "place": "body"}
LAG: Final = f"egoscope_lag_time_seconds{SIDECAR}"
UNREAD: Final = f"egoscope_lag_size_bytes{SIDECAR}"
OUTBOX: Final = f"egoscope_outbox_size_bytes{SIDECAR}"
LIMIT: Final = f"egoscope_outbox_limit_bytes{SIDECAR}"
FILES: Final = f"egoscope_files{SIDECAR}"
OTHERS_FILES: Final = FILES.replace('"s"', '"t"')
AFTER_A_CHANGE: Final = ("24m", "28m", "50m", "2h", "6h")
PROCESSES: Final = 'task_worker_processes{job="egoscope",instance="s",group="w",state="alive"}'
FREE: Final = f"egoscope_disk_free_bytes{SIDECAR}"
SENDS: Final = 'egoscope_sends_total{job="egoscope",instance="s",signal="logs",outcome="%s"}'
REJECTED: Final = 'egoscope_rejected_total{job="egoscope",instance="s",signal="logs",reason="INVALID_ARGUMENT"}'
UNPARSABLE: Final = 'egoscope_lines_unparsable_total{job="egoscope",instance="s",source="ego_mcp",reason="not_json"}'
UP: Final = 'up{job="loki",instance="loki:3100"}'
COLLECTOR: Final = 'up{job="otelcol",instance="%s:8888"}'
SPANS_OF_COLLECTOR: Final = 'up{job="otelcol",instance="%s:8889"}'
LOKI: Final = {"job": "loki", "instance": "loki:3100"}
OUT_OF_MEMORY: Final = 'otelcol_processor_refused_%s_total{job="otelcol",processor="memory_limiter"}'
TEMPO: Final = 'tempo_discarded_spans_total{job="tempo",instance="t",reason="trace_too_large"}'
LOKI_LINES: Final = 'loki_discarded_samples_total{job="loki",instance="l",reason="rate_limited"}'
TSDB: Final = 'prometheus_tsdb_%s_samples_total{job="prometheus",instance="p"}'
RULES: Final = 'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="egoscope-calls"}'
MESSAGES: Final = 'alertmanager_notifications_failed_total{job="alertmanager",integration="slack"}'
DROPPED: Final = 'prometheus_notifications_dropped_total{job="prometheus"}'


def on_machine(series: str, name: str = "m") -> str:
    """Return the same series of a machine that has a name."""
    return series.replace("}", f',host_name="{name}"}}')


def appearing(alert: str, series: str, labels: dict[str, str], words: str) -> tuple[Case, ...]:
    """Return the cases of a counter that a server makes with its first value; `words` has the count as %d."""
    scraped = re.sub(r"^\w+\{(job=\S+?,instance=\S+?),.*", r"up{\1}", series)
    return (
        Case(
            id=f"{alert}: the very first value counts, and is over soon",
            alert=alert,
            series={scraped: "1x90", series: "_x20 3x60"},
            fires={"20m": words % 3},
            silent=("19m", "40m", "70m"),
            labels=labels,
        ),
        Case(
            id=f"{alert}: one more counts, and is over in half an hour",
            alert=alert,
            series={scraped: "1x120", series: "4x60 5x60"},
            fires={"62m": words % 1},
            silent=("60m", "95m"),
            labels=labels,
        ),
        Case(
            id=f"{alert}: Prometheus was away for some minutes or for an hour, and nothing is new",
            alert=alert,
            series={scraped: "1x60 _x4 1x30 _x60 1x60", series: "4x60 _x4 4x30 _x60 4x60"},
            silent=(*(f"{minute}m" for minute in range(40, 110)), *(f"{minute}m" for minute in range(156, 180))),
        ),
        Case(
            id=f"{alert}: it came while Prometheus was away",
            alert=alert,
            series={scraped: "1x30 _x30 1x30", series: "_x61 2x30"},
            fires={"62m": words % 2},
            silent=("30m", "85m"),
            labels=labels,
        ),
        Case(
            id=f"{alert}: a scrape failed, and nothing is new",
            alert=alert,
            series={scraped: "1x30 0 1x30", series: "4x30 stale 4x30"},
            silent=tuple(f"{minute}m" for minute in range(25, 50)),
        ),
        *(
            Case(
                id=f"{alert}: the server restarted and counts {count} again, after {away} minutes",
                alert=alert,
                series={scraped: f"1x60 0 1x{away + 60}", series: f"4x60 stale _x{away} {count}x60"},
                fires={f"{62 + away}m": words % count},
                silent=("60m", f"{away + 100}m"),
                labels=labels,
            )
            for away in (2, 14, 19, 60)
            for count in (2, 4)
        ),
    )


APPEARING: Final = (
    *appearing(
        "SecondLayerRemoval",
        REMOVALS,
        REMOVAL,
        "The Collector removed %d values the sidecar had let through (logs, body)",
    ),
    *appearing("SpansDiscarded", TEMPO, {"reason": "trace_too_large"}, "Tempo discarded %d spans (trace_too_large)"),
    *appearing("LogsDiscarded", LOKI_LINES, {"reason": "rate_limited"}, "Loki discarded %d log lines (rate_limited)"),
)

ABSENT: Final = (
    Case(
        id="back end down: for more than a minute, over when it answers",
        alert="BackEndDown",
        series={UP: "1x40 0x40 1x40"},
        fires={"11m30s": "loki at loki:3100 does not answer"},
        silent=("10m", "11m", "21m"),
        labels=LOKI,
        every="15s",
        evaluated="15s",
    ),
    Case(
        id="back end down: a restart of 45 s is none",
        alert="BackEndDown",
        series={UP: "1x40 0x2 1x40"},
        silent=("10m15s", "10m45s", "11m", "12m"),
        every="15s",
        evaluated="15s",
    ),
    Case(
        id="Collectors down: the only one, for more than a minute, over when it answers",
        alert="CollectorsDown",
        series={COLLECTOR % "c": "1x40 0x40 1x40", SPANS_OF_COLLECTOR % "c": "1x40 0x40 1x40"},
        fires={"11m30s": "No Collector answers: nothing arrives any more"},
        silent=("10m", "11m", "21m"),
        labels={"job": "otelcol"},
        every="15s",
        evaluated="15s",
    ),
    Case(
        id="Collectors down: a restart of 45 s is none",
        alert="CollectorsDown",
        series={COLLECTOR % "c": "1x40 0x2 1x40", SPANS_OF_COLLECTOR % "c": "1x40 0x2 1x40"},
        silent=("10m15s", "10m45s", "11m", "12m"),
        every="15s",
        evaluated="15s",
    ),
    Case(
        id="Collectors down: one gateway of two is not all",
        alert="CollectorsDown",
        series={
            COLLECTOR % "g1": "1x10 0x40",
            SPANS_OF_COLLECTOR % "g1": "1x10 0x40",
            COLLECTOR % "g2": "1x50",
            SPANS_OF_COLLECTOR % "g2": "1x50",
        },
        silent=("12m", "20m", "50m"),
    ),
    Case(
        id="Collectors down: both gateways are, though a machine's own still answers",
        alert="CollectorsDown",
        series={
            COLLECTOR % "g1": "1x5 0x40",
            COLLECTOR % "g2": "1x10 0x40",
            on_machine(COLLECTOR % "m"): "1x50",
        },
        fires={"12m": "No Collector answers: nothing arrives any more"},
        silent=("7m", "10m"),
        labels={"job": "otelcol"},
    ),
    Case(
        id="Collectors down: that of one machine is not all",
        alert="CollectorsDown",
        series={on_machine(COLLECTOR % "m"): "0x50", COLLECTOR % "g1": "1x50"},
        silent=("5m", "50m"),
    ),
    Case(
        id="sidecar gone: not heard of for seven minutes, over when it is back",
        alert="SidecarGone",
        series={FILES: "1x20 _x20 1x20"},
        fires={"28m": "nothing is heard from the sidecar; its agents are not watched"},
        silent=("20m", "24m", "26m", "42m"),
        labels={"job": "egoscope"},
    ),
    Case(
        id="sidecar gone: a restart is none, nor one of Prometheus",
        alert="SidecarGone",
        series={FILES: "1x20 _x5 1x20"},
        silent=("21m", "25m", "26m", "40m"),
    ),
    Case(
        id="sidecar gone: it was never there",
        alert="SidecarGone",
        series={"up": "1x40"},
        fires={"3m": "nothing is heard from the sidecar; its agents are not watched"},
        silent=("1m",),
        labels={"job": "egoscope"},
    ),
    Case(
        id="sidecar gone: that of one machine of two, which is named",
        alert="SidecarGone",
        series={on_machine(FILES): "1x20 _x40", on_machine(OTHERS_FILES, "n"): "1x60"},
        fires={"28m": "m: nothing is heard from the sidecar; its agents are not watched"},
        silent=("24m",),
        labels=OF_MACHINE,
    ),
    Case(
        id="sidecar gone: that of a machine without a name, where another has one",
        alert="SidecarGone",
        series={FILES: "1x20 _x40", on_machine(OTHERS_FILES, "n"): "1x60"},
        fires={"28m": "nothing is heard from the sidecar; its agents are not watched"},
        silent=("24m",),
        labels=OF_SIDECAR,
    ),
    Case(
        id="sidecar gone: those of all machines are one alert",
        alert="SidecarGone",
        series={on_machine(FILES): "1x20 _x40", on_machine(OTHERS_FILES, "n"): "1x20 _x40"},
        fires={"28m": "nothing is heard from the sidecar; its agents are not watched"},
        silent=("24m", "26m"),
        labels={"job": "egoscope"},
    ),
    Case(
        id="sidecar gone: not where its machine was given a name",
        alert="SidecarGone",
        series={FILES: "1x20 _x400", on_machine(FILES): "_x20 1x400"},
        silent=AFTER_A_CHANGE,
    ),
    Case(
        id="sidecar gone: not where it was given a new key or a new state, its machine without a name",
        alert="SidecarGone",
        series={FILES: "1x20 _x400", OTHERS_FILES: "_x20 1x400"},
        silent=AFTER_A_CHANGE,
    ),
    Case(
        id="sidecar gone: nor its machine with one, while another machine tells too",
        alert="SidecarGone",
        series={
            on_machine(FILES): "1x20 _x400",
            on_machine(OTHERS_FILES): "_x20 1x400",
            on_machine(FILES.replace('"s"', '"u"'), "n"): "1x420",
        },
        silent=AFTER_A_CHANGE,
    ),
    Case(
        id="sending unavailable: put off again and again, none accepted; over with the first that is",
        alert="SendingUnavailable",
        series={SENDS % "unavailable": "0x5 0+2x10 20x20", SENDS % "accepted": "0+9x5 45x10 46+9x20"},
        fires={"14m": "The sidecar cannot deliver logs"},
        silent=("5m", "18m", "25m"),
        labels={"instance": "s", "signal": "logs"},
    ),
    Case(
        id="sending unavailable: two in five minutes are any restart",
        alert="SendingUnavailable",
        series={SENDS % "unavailable": "0x5 1 2x30", SENDS % "accepted": "0x40"},
        silent=("7m", "9m", "11m"),
    ),
    Case(
        id="sending unavailable: not while some are accepted",
        alert="SendingUnavailable",
        series={SENDS % "unavailable": "0+5x40", SENDS % "accepted": "0+1x40"},
        silent=("10m", "30m"),
    ),
    Case(
        id="sending unavailable: the sidecar's own restart begins its counts anew",
        alert="SendingUnavailable",
        series={SENDS % "unavailable": "7x20 _x2 1x20", SENDS % "accepted": "90x20 _x2 3+3x20"},
        silent=("22m", "24m", "26m", "30m"),
    ),
    Case(
        id="no log: none followed for a quarter of an hour, over with the first",
        alert="NoLogFollowed",
        series={FILES: "0x30 1x10"},
        fires={"16m": "the sidecar follows no log file and no database"},
        silent=("14m", "31m"),
        labels=OF_SIDECAR,
    ),
    Case(
        id="no log: not on a machine that watches worker processes, nor where there are none of them just now",
        alert="NoLogFollowed",
        series={
            FILES: "0x60",
            PROCESSES: "2x60",
            on_machine(FILES, "n"): "0x60",
            on_machine(PROCESSES, "n"): "0x60",
        },
        silent=("16m", "60m"),
    ),
    Case(
        id="no log: the processes of another machine are no matter",
        alert="NoLogFollowed",
        series={on_machine(FILES): "0x30 1x10", on_machine(PROCESSES, "n"): "2x40"},
        fires={"16m": "m: the sidecar follows no log file and no database"},
        silent=("14m", "31m"),
        labels=OF_MACHINE,
    ),
    Case(id="no log: one is enough", alert="NoLogFollowed", series={FILES: "1x30"}, silent=("16m", "30m")),
    Case(
        id="no log: a moment without, at a rotation, is none",
        alert="NoLogFollowed",
        series={FILES: "1x10 0x3 1x10 _x3 0x3 1x5"},
        silent=("12m", "13m", "28m", "30m"),
    ),
)

LATE: Final = (
    Case(
        id="lag: more than two minutes for three, over when it is sent",
        alert="SidecarLag",
        series={LAG: "0+60x10 0x10", UNREAD: "0x30"},
        fires={"6m": "what is shown is 6m 0s late"},
        silent=("2m", "5m", "11m"),
        labels=OF_SIDECAR,
    ),
    Case(
        id="lag: its machine is named",
        alert="SidecarLag",
        series={on_machine(LAG): "180x10", on_machine(UNREAD): "0x10"},
        fires={"6m": "m: what is shown is 3m 0s late"},
        labels=OF_MACHINE,
    ),
    Case(id="lag: two minutes are not yet more", alert="SidecarLag", series={LAG: "120x30"}, silent=("5m", "30m")),
    Case(
        id="lag: history that is being filled in is none",
        alert="SidecarLag",
        series={LAG: "300x30", UNREAD: "9e9-1e7x30"},
        silent=("5m", "10m", "30m"),
    ),
    Case(
        id="lag: over a gap of the sidecar",
        alert="SidecarLag",
        series={LAG: "0x10 _x10 0x10", UNREAD: "0x10 _x10 5000 0x10"},
        silent=("10m", "15m", "21m", "25m"),
    ),
    Case(
        id="reads behind: more than 1 MB and growing for a quarter of an hour, over when it shrinks",
        alert="SidecarReadsBehind",
        series={UNREAD: "0+100000x40 4e6-200000x15 0x30"},
        fires={"30m": "2.861MiB of log are unread, and it is not getting less"},
        silent=("10m", "25m", "60m"),
        labels=OF_SIDECAR,
    ),
    Case(
        id="reads behind: a backlog that is being read is none",
        alert="SidecarReadsBehind",
        series={UNREAD: "9e9-1e7x60"},
        silent=("20m", "40m", "60m"),
    ),
    Case(
        id="reads behind: 1 MB is not yet more",
        alert="SidecarReadsBehind",
        series={UNREAD: "1e6x60"},
        silent=("20m", "40m"),
    ),
    Case(
        id="outbox: more than four fifths full, over when there is room",
        alert="OutboxFilling",
        series={OUTBOX: "850x20 100x20", LIMIT: "1000x60"},
        fires={"6m": "the outbox is 85% full"},
        silent=("4m", "36m"),
        labels=OF_SIDECAR,
    ),
    Case(
        id="outbox: its machine is named",
        alert="OutboxFilling",
        series={on_machine(OUTBOX): "850x10", on_machine(LIMIT): "1000x10"},
        fires={"6m": "m: the outbox is 85% full"},
        labels=OF_MACHINE,
    ),
    Case(
        id="outbox: a backlog fills three quarters, and that is none",
        alert="OutboxFilling",
        series={OUTBOX: "0+75x10 750x30", UNREAD: "9e9-1e7x50", LIMIT: "1000x60"},
        silent=("8m", "15m", "30m"),
    ),
    Case(
        id="outbox: at this pace full within an hour",
        alert="OutboxFilling",
        series={OUTBOX: "0+20x30", UNREAD: "0x40", LIMIT: "1000x60"},
        fires={"15m": "the outbox is 30% full"},
        silent=("5m",),
        labels=OF_SIDECAR,
    ),
    Case(
        id="outbox: at this pace not full within an hour",
        alert="OutboxFilling",
        series={OUTBOX: "100+5x30", UNREAD: "0x40", LIMIT: "1000x60"},
        silent=("15m", "25m", "30m"),
    ),
    Case(
        id="outbox: a gap makes it neither fuller nor emptier",
        alert="OutboxFilling",
        series={OUTBOX: "200x20 _x8 200x20", LIMIT: "1000x20 _x8 1000x20"},
        silent=("20m", "27m", "30m", "45m"),
    ),
    Case(
        id="outbox full: almost, for five minutes, over when there is room",
        alert="OutboxFull",
        series={OUTBOX: "960x20 900x20", LIMIT: "1000x60"},
        fires={"6m": "the outbox is 96% full; reading stops"},
        silent=("4m", "22m"),
        labels=OF_SIDECAR,
    ),
    Case(
        id="outbox full: its machine is named",
        alert="OutboxFull",
        series={on_machine(OUTBOX): "960x10", on_machine(LIMIT): "1000x10"},
        fires={"6m": "m: the outbox is 96% full; reading stops"},
        labels=OF_MACHINE,
    ),
    Case(
        id="outbox full: 95 % is not yet more",
        alert="OutboxFull",
        series={OUTBOX: "950x20", LIMIT: "1000x60"},
        silent=("6m", "20m"),
    ),
)

LOST: Final = (
    Case(
        id="rejected: any, over after a quarter of an hour",
        alert="ItemsRejected",
        series={REJECTED: "_x10 0 2x40"},
        fires={"13m": "2 items of logs were refused for good (INVALID_ARGUMENT)"},
        silent=("10m", "30m"),
        labels={"instance": "s", "signal": "logs", "reason": "INVALID_ARGUMENT"},
    ),
    Case(
        id="rejected: those of the past are no news, after a restart and a gap neither",
        alert="ItemsRejected",
        series={REJECTED: "7x20 _x10 7x20"},
        silent=("10m", "31m", "45m"),
    ),
    Case(
        id="unparsable: ten in a quarter of an hour, over after it",
        alert="LinesUnparsable",
        series={UNPARSABLE: "0x5 10x40"},
        fires={"8m": "10 lines of ego_mcp could not be read (not_json)"},
        silent=("5m", "25m"),
        labels={"instance": "s", "source": "ego_mcp", "reason": "not_json"},
    ),
    Case(
        id="unparsable: nine are too few, and a gap makes no more of them",
        alert="LinesUnparsable",
        series={UNPARSABLE: "0x5 9x10 _x10 9x20"},
        silent=("8m", "16m", "30m"),
    ),
    Case(
        id="refusing: thirty requests for good, over after half an hour",
        alert="CollectorRefusing",
        series={SENDS % "refused": "_x5 30x60"},
        fires={"8m": "The Collector refused 30 times (requests)"},
        silent=("5m", "50m"),
        labels={"signal": "logs", "because": "requests"},
    ),
    Case(
        id="refusing: 29 are one bad item or two, and a restart of the sidecar makes no more of them",
        alert="CollectorRefusing",
        series={SENDS % "refused": "_x5 29x30 _x3 2x30"},
        silent=("8m", "20m", "40m", "60m"),
    ),
    *(
        Case(
            id=f"refusing: at the memory limit, {words}; over when there is memory",
            alert="CollectorRefusing",
            series={OUT_OF_MEMORY % name: "0x5 1x40"},
            fires={"7m": f"The Collector refused 1 times ({words}, memory limit)"},
            silent=("5m", "20m"),
            labels={"processor": "memory_limiter", "because": f"{words}, memory limit"},
        )
        for name, words in (
            ("spans", "spans"),
            ("log_records", "log records"),
            ("metric_points", "metric points"),
        )
    ),
    *(
        Case(
            id=f"samples discarded: any that is {name}, over after a quarter of an hour",
            alert="SamplesDiscarded",
            series={
                TSDB % each: "0x5 6x40" if each == name else "0x45"
                for each in ("out_of_order", "too_old", "out_of_bound")
            },
            fires={"8m": "Prometheus refused 6 samples for their time"},
            silent=("5m", "25m"),
            labels={"job": "prometheus"},
        )
        for name in ("out_of_order", "too_old", "out_of_bound")
    ),
    Case(
        id="samples discarded: Prometheus' restart begins at 0",
        alert="SamplesDiscarded",
        series={TSDB % each: "6x20 _x2 0x40" for each in ("out_of_order", "too_old", "out_of_bound")},
        silent=("20m", "24m", "30m"),
    ),
)

WATCHING: Final = (
    Case(
        id="rules: one fails, over after ten minutes",
        alert="RuleFailing",
        series={RULES: "0x5 1x40"},
        fires={"7m": "Rules of egoscope-calls cannot be evaluated"},
        silent=("5m", "20m"),
        labels={"rule_group": "egoscope-calls"},
    ),
    Case(
        id="rules: those that failed before a restart are no news",
        alert="RuleFailing",
        series={RULES: "3x20 _x3 0x20"},
        silent=("15m", "25m", "40m"),
    ),
    Case(
        id="notifications: one was not taken, over after ten minutes",
        alert="NotificationFailing",
        series={MESSAGES: "0x5 2x40"},
        fires={"7m": "2 messages about alerts could not be delivered to slack"},
        silent=("5m", "20m"),
        labels={"integration": "slack", "to": "slack"},
    ),
    Case(
        id="notifications: Prometheus drops alerts for more than five minutes",
        alert="NotificationFailing",
        series={DROPPED: "0x5 0+1x15 15x20"},
        fires={"15m": "5 messages about alerts could not be delivered to alertmanager"},
        silent=("5m", "8m", "35m"),
        labels={"to": "alertmanager"},
    ),
    Case(
        id="notifications: a restart of Alertmanager drops a few, and that is none",
        alert="NotificationFailing",
        series={DROPPED: "0x5 4x40", MESSAGES: "2x4 _x2 0x40"},
        silent=("6m", "8m", "11m", "15m"),
    ),
)

DISK: Final = (
    Case(
        id="disk: full within six hours by hour and quarter, over when it stops",
        alert="DiskFilling",
        series={FREE: "1e11-3e8x90 73e9x60"},
        fires={"60m": "the disk will be full in 4h 33m 20s"},
        silent=("15m", "2h"),
        labels=OF_SIDECAR,
    ),
    Case(
        id="disk: full in eight hours is none",
        alert="DiskFilling",
        series={FREE: "1e11-2e8x60"},
        silent=("30m", "60m"),
    ),
    Case(
        id="disk: a step, as when history is filled in, is none",
        alert="DiskFilling",
        series={FREE: "1e11x60 9e10-5e9x8 5e10x90"},
        silent=("65m", "75m", "85m", "95m", "120m"),
    ),
    Case(
        id="disk: a gap of the sidecar is none",
        alert="DiskFilling",
        series={FREE: "1e11x30 _x20 99e9x30"},
        silent=("30m", "51m", "60m", "75m"),
    ),
    Case(
        id="disk low: less than 1 GiB, over when there is room",
        alert="DiskLow",
        series={FREE: "2e9x5 1e9x20 3e9x5"},
        fires={"8m": "only 953.7MiB are left on the disk"},
        silent=("5m", "6m", "27m"),
        labels=OF_SIDECAR,
    ),
    Case(id="disk low: 1 GiB is not yet less", alert="DiskLow", series={FREE: "1073741824x20"}, silent=("5m", "20m")),
)

CASES: Final = (*APPEARING, *ABSENT, *LATE, *LOST, *WATCHING, *DISK)
