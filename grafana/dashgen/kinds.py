"""Executions of agents and runs of flows: of which metrics, spans and lines either is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashgen import searches
from dashgen.queries import DATABASE, HOST, HOST_SPANS, label, of, quantile_of
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s

if TYPE_CHECKING:
    from egoscope.convert.catalogue import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is shown: executions of agents, or runs of flows."""

    service: str
    """`service.name` of its telemetry; the source's format fixes it."""
    name: str
    """The label, and the dashboard's variable, that says whose they are."""
    attribute: str
    """The same in spans and log entries."""
    root: str
    """TraceQL for the spans that stand for a whole one."""
    noun: str
    setting: str
    ended: Metric
    duration: Metric
    running: Metric
    oldest: Metric
    title: str
    """Pattern of a trace's name; its group is what is shown."""

    def of(self, one: Metric | str, *matchers: str) -> str:
        """Return the selector of a metric, as chosen at the top."""
        return of(one, DATABASE, f'{self.name}=~"${self.name}"', *matchers)

    def ends(self, *matchers: str) -> str:
        """Return the selector of what ended."""
        return self.of(self.ended, *matchers)

    def quantile(self, fraction: float | str, window: str = "$__range", by: str = "") -> str:
        """Return a quantile of how long they took, in seconds."""
        return quantile_of(fraction, self.of(f"{self.duration.prometheus}_bucket"), window, by=by)

    @property
    def empty(self) -> str:
        """What a panel says that has nothing to show: what to do."""
        ever = f"where nothing was ever read, set {self.setting} and ask `egoscope doctor`"
        return f"no {self.noun} ended in this time: choose a longer one; {ever}"

    @property
    def job(self) -> str:
        """PromQL: the matcher of its series."""
        return f'job="{self.service}"'

    @property
    def last(self) -> str:
        """PromQL: when the newest row was written, by its own time."""
        newest = of(c.AGENT_LAST_EVENT, self.job, DATABASE)
        return f"max(last_over_time({newest}[7d]))"

    @property
    def lines(self) -> str:
        """LogQL: its lines."""
        streams = f'{label(s.SERVICE_NAME)}="{self.service}", {label(s.SERVICE_INSTANCE_ID)}=~"$database"'
        return f'{{{streams}}} | {HOST} | {label(self.attribute)}=~"${self.name}"'

    def spans(self, *conditions: str) -> str:
        """Return a search for whole ones, newest first."""
        every = (
            f'resource.{s.SERVICE_NAME} = "{self.service}"',
            f'resource.{s.SERVICE_INSTANCE_ID} =~ "${{database:regex}}"',
            self.root,
            HOST_SPANS,
            # In backquotes: in double quotes the backslash before a name's dot would be no TraceQL.
            f"span.{self.attribute} =~ `${{{self.name}:regex}}`",
            *conditions,
        )
        return f"{{ {' && '.join(every)} }} {searches.NEWEST_FIRST}"


EXECUTIONS: Final = Kind(
    service="kagura",
    name=s.AGENT,
    attribute=s.GEN_AI_AGENT_NAME,
    root=f'span.{s.GEN_AI_OPERATION_NAME} = "{s.OPERATION_INVOKE_AGENT}"',
    noun="execution",
    setting="EGOSCOPE_KAGURA_PATH",
    ended=c.EXECUTIONS,
    duration=c.EXECUTION_DURATION,
    running=c.RUNNING,
    oldest=c.RUNNING_OLDEST,
    title=f"^.*{s.OPERATION_INVOKE_AGENT} (.*)$",
)
RUNS: Final = Kind(
    service="illumo",
    name=s.FLOW,
    attribute=s.FLOW_NAME,
    root=f'span.{s.FLOW_KIND} = "flow"',
    noun="run",
    setting="EGOSCOPE_ILLUMO_PATH",
    ended=c.FLOW_RUNS,
    duration=c.FLOW_DURATION,
    running=c.FLOW_RUNNING,
    oldest=c.FLOW_RUNNING_OLDEST,
    title="^(?:illumo )?(.*)$",
)
