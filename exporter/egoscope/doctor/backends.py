"""The back ends behind the Collector: ready, and set up so that nothing egoscope sends is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from egoscope.convert.instance import STREAM_SLACK_NS
from egoscope.doctor.finding import absent, counted, fail, ok, skip, warn
from egoscope.doctor.web import REFUSED, Answer, address, get

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from egoscope.doctor.finding import Finding

REMOVALS: Final = "egoscope_second_layer_removals_total"
"""What `collector-config/collector.yaml` counts when its own allow-list had to remove something."""

_COLLECTOR_JOB: Final = "otelcol"
_SCRAPED: Final = f'count(up{{job="{_COLLECTOR_JOB}"}} == 1)'
_REMOVED: Final = f'max by (signal, place) (max_over_time({REMOVALS}{{signal!="", place!=""}}[30d]))'
_FEATURES: Final = {
    "promql-extended-range-selectors": "counts in panels are off at the edges of a range",
    "exemplar-storage": "there is no way from a duration to its trace",
}
_START: Final = "start it (docker compose up -d), or set {option} to where it is"
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[ywdhms])")
_UNIT_S: Final = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_FLAGS_PAGE: Final = "/api/v1/status/flags"
_CONFIG_PAGE: Final = "/api/v1/status/config"


Page = TypeVar("Page")


class _Flags(msgspec.Struct):
    data: dict[str, str]


class _Yaml(msgspec.Struct):
    yaml: str


class _Config(msgspec.Struct):
    data: _Yaml


class _Sample(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]

    @property
    def count(self) -> int:
        """The value as a number of things; 0 for what is none."""
        try:
            return round(float(self.value[1]))
        except (ValueError, OverflowError):
            return 0


class _Result(msgspec.Struct):
    result: list[_Sample]


class _Vector(msgspec.Struct):
    data: _Result


def check_prometheus(url: str) -> Iterator[Finding]:
    """Say whether Prometheus is ready, takes OTLP, and takes samples older than the newest."""
    subject = f"Prometheus {address(url)}"
    url = url.rstrip("/")
    ready, finding = _ready(subject, url, "/-/ready", "EGOSCOPE_PROMETHEUS_URL")
    yield finding
    if not ready:
        return
    flags = _page(url + _FLAGS_PAGE, _Flags)
    if flags is None:
        yield skip(subject, f"its flags cannot be read ({_FLAGS_PAGE})")
    else:
        yield from _flags(subject, flags.data)
    config = _page(url + _CONFIG_PAGE, _Config)
    if config is None:
        yield skip(subject, f"its configuration cannot be read ({_CONFIG_PAGE})")
        return
    window = re.search(r"^\s+out_of_order_time_window: (\S+)$", config.data.yaml, re.MULTILINE)
    if window is None or not _seconds(window[1]):
        sentence = "takes no sample older than a series' newest: logs of yesterday would be refused"
        yield fail(subject, sentence, "set storage.tsdb.out_of_order_time_window in prometheus.yml, as ours does")
    else:
        yield ok(subject, f"takes samples up to {window[1]} late")


def check_second_layer(url: str) -> Iterator[Finding]:
    """Say whether the Collector's own allow-list ever had to remove something that the sidecar let through."""
    subject = "second layer"
    scraped = _vector(url, _SCRAPED)
    removals = _vector(url, _REMOVED)
    if scraped is None or removals is None:
        yield skip(subject, f"Prometheus {address(url)} cannot be asked whether it removed anything")
        return
    removed = [sample for sample in removals if sample.count > 0]
    for sample in removed:
        place, signal = (_word(sample.metric.get(name, "")) for name in ("place", "signal"))
        sentence = f"had to remove {counted(sample.count, 'value')} in {signal} (place: {place}) in the last 30 days"
        remedy = (
            "look for egoscope.second_layer in Loki and Tempo, narrow the policy, and report it as a bug of egoscope"
        )
        yield fail(subject, sentence, remedy)
    if not scraped:
        sentence = "Prometheus does not scrape the Collector, so a removal would not be seen"
        yield warn(subject, sentence, f"give its targets the job {_COLLECTOR_JOB}, as prometheus/targets does")
    elif not removed:
        yield ok(subject, "never had to remove anything in the last 30 days")


def check_loki(url: str) -> Iterator[Finding]:
    """Say whether Loki is ready, and takes old lines, late lines and attributes."""
    subject = f"Loki {address(url)}"
    ready, finding = _ready(subject, url, "/ready", "EGOSCOPE_LOKI_URL")
    yield finding
    if not ready:
        return
    answer = get(f"{url.rstrip('/')}/config")
    if not isinstance(answer, Answer) or answer.status != 200:
        yield skip(subject, "its limits cannot be read (/config)")
        return
    config = answer.body.decode("utf-8", "replace")
    limits = list(_loki_limits(subject, config))
    yield from limits or [ok(subject, "takes lines of any age, and their attributes")]


def check_tempo(url: str) -> Iterator[Finding]:
    """Say whether Tempo is ready."""
    _, finding = _ready(f"Tempo {address(url)}", url, "/ready", "EGOSCOPE_TEMPO_URL")
    yield finding


def _ready(subject: str, url: str, page: str, option: str) -> tuple[bool, Finding]:
    answer = get(url.rstrip("/") + page)
    if not isinstance(answer, Answer):
        judge = absent if answer.sentence == REFUSED else fail
        return False, judge(subject, answer.sentence, _START.format(option=option))
    if answer.status == 200:
        return True, ok(subject, "is ready")
    if answer.status == 503:
        return False, fail(subject, "says it is not ready yet", "wait a minute after its start; then see its log")
    sentence = f"something answers, but has no {page} page (HTTP {answer.status})"
    return False, absent(subject, sentence, f"set {option} to where it is")


def _flags(subject: str, flags: dict[str, str]) -> Iterator[Finding]:
    if flags.get("web.enable-otlp-receiver") == "true":
        yield ok(subject, "takes metrics over OTLP")
    else:
        yield fail(subject, "takes no metrics over OTLP", "start it with --web.enable-otlp-receiver")
    enabled = flags.get("enable-feature", "").split(",")
    for feature, loss in _FEATURES.items():
        if feature not in enabled:
            yield warn(subject, f"without its feature {feature}, {loss}", f"start it with --enable-feature={feature}")


def _loki_limits(subject: str, config: str) -> Iterator[Finding]:
    limits = _section(config, "limits_config")
    if limits.get("reject_old_samples") == "true":
        age = limits.get("reject_old_samples_max_age", "some days")
        yield fail(subject, f"refuses lines older than {age}", "set limits_config.reject_old_samples to false")
    if limits.get("allow_structured_metadata") == "false":
        yield fail(subject, "refuses lines with attributes", "set limits_config.allow_structured_metadata to true")
    oldest = _section(config, "ingester").get("max_chunk_age", "")
    if oldest and _seconds(oldest) / 2 < STREAM_SLACK_NS / 1e9:
        sentence = f"refuses lines more than half of {oldest} behind their stream's newest"
        yield fail(subject, sentence, f"set ingester.max_chunk_age to {STREAM_SLACK_NS * 2 // 60_000_000_000}m or more")


def _section(config: str, name: str) -> dict[str, str]:
    """Return the plain settings of one top-level section of the YAML that Loki prints: two spaces, one line each."""
    found = re.search(rf"^{name}:\n((?: .*\n|\n)*)", config + "\n", re.MULTILINE)
    return dict(re.findall(r"^ {2}([a-z_]+): (\S+)$", found[1], re.MULTILINE)) if found else {}


def _seconds(duration: str) -> float:
    """Return the seconds of a duration as Prometheus or Go prints it (`10y`, `2h0m0s`); 0 for what is none."""
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(duration))


def _page(url: str, kind: type[Page]) -> Page | None:
    """Return an answer of Prometheus' API, None where there is no such answer."""
    answer = get(url)
    if not isinstance(answer, Answer) or answer.status != 200:
        return None
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError:
        return None


def _vector(url: str, promql: str) -> Sequence[_Sample] | None:
    """Return what an instant query finds, None where it has no answer."""
    found = _page(f"{url.rstrip('/')}/api/v1/query?{urlencode({'query': promql})}", _Vector)
    return None if found is None else found.data.result


def _word(label: str) -> str:
    """Return a label's value if it is what the Collector's configuration writes there: a few small words."""
    return label if re.fullmatch(r"[a-z ]{1,40}", label) else "unknown"
