"""Instrumentation in an agent's own code, through the OpenTelemetry API alone.

An application that has set up the SDK just sees more spans and metrics; where none is set up nothing happens. No text
of the application's is recorded, be it argument, result or the message of an error, unless `capture` names it.

    @instrument("translator")
    async def translate(text: str) -> str:
        with tracker.span("look up"):
            ...
        record_metric("words", 120)
        add_tag("language", "fr")
"""

from egoscope.instrument.tracker import Tracker, add_tag, instrument, record_metric, tracker

__all__ = ["Tracker", "add_tag", "instrument", "record_metric", "tracker"]
