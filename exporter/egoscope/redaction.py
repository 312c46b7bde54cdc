"""Redaction as an allow-list: a Policy names what may leave; all else is dropped and counted, never forwarded.

Redaction builds, it never deletes: `Policy.redact` makes a new mapping of allowed values. Nothing behind it can see
a raw value. The audit names only fields that the policy itself names; a field name can be private too (ego-mcp logs
desires that its model invented under their own names), so every other one is counted as `(unknown)`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from egoscope.rules import Action, Members, Reason, RefusedValueError, Time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from egoscope.model.telemetry import Attribute
    from egoscope.rules import Rule

UNKNOWN_FIELD = "(unknown)"
_MAX_PLANS = 4096  # bound of the cache of key sets: keys can be made by a model


class AuditKey(NamedTuple):
    """What the audit counts: a field as the policy names it, what was done with its value, and why."""

    field: str
    action: Action
    reason: str


class _Plan(msgspec.Struct):
    """What to do with records that have exactly these keys in this order: decided once, counted once a batch."""

    steps: tuple[tuple[str, Callable[[object], Any]], ...]
    passed: tuple[AuditKey, ...]
    dropped: tuple[AuditKey, ...]
    members: tuple[str, ...]
    records: int = 0


class Policy:
    """The allow-list of one source, ready to be applied."""

    def __init__(
        self,
        source: str,
        rules: Mapping[str, Rule],
        known_private: frozenset[str] = frozenset(),
        added: frozenset[str] = frozenset(),
    ) -> None:
        """`known_private`: fields the audit may name. `added`: fields that a user's extension brought."""
        self.source = source
        self.added = tuple(sorted(added))
        self.rules = dict(rules)
        self.known_private = known_private
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._audit: Counter[AuditKey] = Counter()
        self._left_out: Counter[str] = Counter()  # members of a mapping that no rule names

    def redact(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the allowed values of one record by field name. Pure but for the audit's counts; never raises."""
        keys = tuple(fields)
        plan = self._plans.get(keys) or self._plan(keys)
        plan.records += 1
        try:
            kept = {name: apply(fields[name]) for name, apply in plan.steps}
        except (RefusedValueError, TypeError):
            kept = self._redact_one_by_one(fields, plan)
        for name in plan.members:
            if name in kept:
                self._left_out[name] += len(fields[name]) - len(kept[name])
        return kept

    def added_attributes(self, values: Mapping[str, Any]) -> tuple[Attribute, ...]:
        """Return the fields of a user's extension as attributes, `ego.` and the field's name; mappings have none."""
        named = ((f"ego.{name}", values.get(name)) for name in self.added)
        return tuple((name, value) for name, value in named if isinstance(value, (str, bool, int, float)))

    def note(self, key: AuditKey, records: int = 1) -> None:
        """Count something about records that no single rule can see."""
        self._audit[key] += records

    def note_unread(self, names: Iterable[str], records: int) -> None:
        """Count fields that were left where they are in so many records, unseen."""
        for name in names:
            self.note(_dropped_as(name, self.known_private), records)

    def drain_audit(self) -> dict[AuditKey, int]:
        """Return and reset what was counted since the last call, without content."""
        audit = self._audit
        for plan in self._plans.values():
            if plan.records:
                for key in plan.passed:
                    audit[key] += plan.records
                for key in plan.dropped:
                    audit[key] += plan.records
                plan.records = 0
        for name, count in self._left_out.items():
            audit[AuditKey(f"{name}.{UNKNOWN_FIELD}", Action.DROPPED, Reason.NOT_IN_POLICY.value)] += count
        self._left_out.clear()
        if len(self._plans) > _MAX_PLANS:
            self._plans.clear()
        self._audit = Counter()
        return {key: audit[key] for key in sorted(audit) if audit[key] > 0}

    def _redact_one_by_one(self, fields: Mapping[str, Any], plan: _Plan) -> dict[str, Any]:
        """Do the same for a record of which some value is refused."""
        kept: dict[str, Any] = {}
        for name, apply in plan.steps:
            try:
                kept[name] = apply(fields[name])
                continue
            except RefusedValueError as refused:
                reason = refused.reason
            except TypeError:  # an unhashable value where a string belongs
                reason = Reason.WRONG_TYPE
            rule = self.rules[name]
            self._audit[AuditKey(name, rule.action, "")] -= 1  # the plan counts it as passed
            self._audit[AuditKey(name, Action.DROPPED, reason.value)] += 1
            if rule.otherwise is not None:
                kept[name] = rule.otherwise
        return kept

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        dropped = tuple(_dropped_as(name, self.known_private) for name in keys if name not in self.rules)
        ruled = [name for name in keys if name in self.rules]
        passed = tuple(AuditKey(name, self.rules[name].action, "") for name in ruled)
        # The record's time is not a value among others: it was read before.
        steps = tuple((name, self.rules[name].apply) for name in ruled if not isinstance(self.rules[name], Time))
        members = tuple(name for name in ruled if isinstance(self.rules[name], Members))
        plan = self._plans[keys] = _Plan(steps, passed, dropped, members)
        return plan


def _dropped_as(name: str, known_private: frozenset[str]) -> AuditKey:
    """Return what the audit says of a field that no rule names; its name stands there only if the policy has it."""
    if name in known_private:
        return AuditKey(name, Action.DROPPED, Reason.PRIVATE_FIELD.value)
    return AuditKey(UNKNOWN_FIELD, Action.DROPPED, Reason.NOT_IN_POLICY.value)
