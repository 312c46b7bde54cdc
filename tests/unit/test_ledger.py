"""The sidecar's own totals: they survive a restart, never fall, and never tell content."""

from __future__ import annotations

from converted import RESOURCE, Sent

from egoscope.delivery.ledger import Ledger
from egoscope.otlp.requests import encode_telemetry
from egoscope.redaction import AuditKey
from egoscope.rules import Action

NOW_MS = 1_795_000_000_000
AUDIT = {
    AuditKey("valence", Action.KEPT, ""): 5,
    AuditKey("person_id", Action.PSEUDONYMISED, ""): 2,
    AuditKey("(unknown)", Action.DROPPED, "not_in_policy"): 3,
}


def told(ledger: Ledger, now_ms: int, sent: Sent) -> Sent:
    """Add what the ledger tells now."""
    for request in encode_telemetry(ledger.drain(now_ms), RESOURCE):
        sent.add(request.signal, request.data)
    return sent


def test_totals_are_told_as_counters_with_one_audit_record() -> None:
    """By source, field, action and reason; the record has the sums, and comes only where there was something new."""
    ledger = Ledger({}, [])
    ledger.redacted("ego_mcp", AUDIT)
    ledger.unparsable("ego_mcp", {"not_json": 4})
    ledger.rejected([("logs", "INVALID_ARGUMENT", 2), ("logs", "INVALID_ARGUMENT", 1)])
    sent = told(ledger, NOW_MS, Sent())
    assert sent.series("egoscope.redactions", source="ego_mcp", field="valence", action="kept", reason="allowed") == [
        (NOW_MS - 1, 0),
        (NOW_MS, 5),
    ]
    assert sent.total("egoscope.redactions") == 10
    assert sent.series("egoscope.rejected", signal="logs", reason="INVALID_ARGUMENT")[-1] == (NOW_MS, 3)
    assert sent.series("egoscope.lines.unparsable", source="ego_mcp", reason="not_json")[-1] == (NOW_MS, 4)
    assert sent.bodies() == ["Redaction audit: kept 5, pseudonymised 2, counted 0, dropped 3"]
    assert told(ledger, NOW_MS + 20_000, Sent()).bodies() == []


def test_only_what_changed_is_committed_and_a_restart_goes_on_from_it() -> None:
    """Totals and series as they were kept: the counter goes on rising, without a second zero."""
    first = Ledger({}, [])
    first.redacted("ego_mcp", AUDIT)
    kept = dict(first.changes())
    assert first.changes() == []
    rows = first.drain(NOW_MS).series
    second = Ledger(kept, rows)
    second.redacted("ego_mcp", {AuditKey("valence", Action.KEPT, ""): 1})
    assert [total for _, total in second.changes()] == [6]
    sent = told(second, NOW_MS + 5000, Sent())
    assert sent.series("egoscope.redactions", source="ego_mcp", field="valence", action="kept", reason="allowed") == [
        (NOW_MS + 5000, 6)
    ]


def test_points_are_due_soon_after_a_change_and_else_to_keep_the_series_alive() -> None:
    """Not with every batch, and not at all where nothing was ever counted."""
    ledger = Ledger({}, [])
    assert not ledger.due(NOW_MS)
    ledger.unparsable("ego_mcp", {"not_json": 1})
    assert ledger.due(NOW_MS)
    ledger.drain(NOW_MS)
    assert not ledger.due(NOW_MS + 14_999)
    assert ledger.due(NOW_MS + 15_000)
    ledger.unparsable("ego_mcp", {"not_json": 1})
    assert not ledger.due(NOW_MS + 4_999)
    assert ledger.due(NOW_MS + 5_000)
