"""One rule a field: what a value must be to leave, and what leaves in its place.

A rule's `apply` takes a raw value and returns what may leave, or raises with a `Reason` why nothing does.
"""

from __future__ import annotations

import hmac
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Reason(StrEnum):
    """Why a value did not leave."""

    NOT_IN_POLICY = "not_in_policy"
    PRIVATE_FIELD = "private_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NOT_ENUMERATED = "not_enumerated"
    NO_MATCH = "no_match"
    TOO_LONG = "too_long"
    NULL = "null"


class Action(StrEnum):
    """What was done with a value."""

    KEPT = "kept"
    PSEUDONYMISED = "pseudonymised"
    COUNTED = "counted"
    DROPPED = "dropped"


class RefusedValueError(Exception):
    """A value may not leave. Carries a `Reason`, never the value."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Rule(Protocol):
    """What a value must be to leave."""

    @property
    def action(self) -> Action:
        """What the audit says of a value that passed."""
        ...

    @property
    def otherwise(self) -> str | None:
        """A constant that stands where a value did not pass; None leaves the field out."""
        ...

    @property
    def apply(self) -> Callable[[object], Any]:
        """From a raw value to what may leave in its place.

        Raises RefusedValueError, or TypeError for an unhashable value; nothing else, whatever the value is.
        """
        ...


class Enumeration(dict[object, object]):
    """Exactly the listed strings; anything else is `not_enumerated`, and `otherwise` stands in its place if given."""

    action = Action.KEPT

    def __init__(self, values: Iterable[str], *, otherwise: str | None = None) -> None:
        super().__init__((value, value) for value in values)
        self.otherwise = otherwise
        self.apply = self.__getitem__  # a look-up in C: this runs several times a line

    def __missing__(self, key: object) -> object:
        raise RefusedValueError(Reason.NOT_ENUMERATED if isinstance(key, str) else _not_of_type(key))


class Number(dict[object, object]):
    """A finite number within min and max, both included.

    Numbers come again and again (a level has two decimals), so the answer to some thousand of them is kept: a look-up
    in C for most. A boolean passes as the 0 or 1 that it is in Python only where that number was seen before.
    """

    action = Action.KEPT
    otherwise: str | None = None
    _most_kept = 4096

    def __init__(self, minimum: float, maximum: float) -> None:
        super().__init__()
        self._min, self._max = minimum, maximum
        self.apply = self.__getitem__

    def __missing__(self, key: object) -> object:
        if key.__class__ is not float and key.__class__ is not int:
            raise RefusedValueError(_not_of_type(key))
        if not self._min <= cast("float", key) <= self._max:  # before float(), which a huge integer overflows
            raise RefusedValueError(Reason.OUT_OF_RANGE)
        number = float(cast("float", key))
        if len(self) < self._most_kept:
            self[number] = number
        return number


class Time:
    """The record's own time; it is read before the policy is applied, so nothing is left to do but to count it."""

    action = Action.KEPT
    otherwise: str | None = None

    def apply(self, value: object) -> object:
        return value.__class__ is str


class Boolean(dict[object, object]):
    """true or false; 1 and 0 are taken for them, as Python does."""

    action = Action.KEPT
    otherwise: str | None = None

    def __init__(self) -> None:
        super().__init__({True: True, False: False})
        self.apply = self.__getitem__

    def __missing__(self, key: object) -> object:
        raise RefusedValueError(_not_of_type(key))


class Flag:
    """A mark that must not be missed: anything but a clear false is a yes."""

    action = Action.KEPT
    otherwise: str | None = None

    def apply(self, value: object) -> object:
        return value is not False


_LONE_SURROGATE = re.compile("[\ud800-\udfff]").search


class Pattern:
    """A string of at most `max_length` characters that matches an anchored regular expression."""

    action = Action.KEPT
    otherwise: str | None = None

    def __init__(self, pattern: str, max_length: int) -> None:
        self._match, self._max_length = re.compile(pattern).fullmatch, max_length

    def apply(self, value: object) -> object:
        if not isinstance(value, str):
            raise RefusedValueError(_not_of_type(value))
        if len(value) > self._max_length:
            raise RefusedValueError(Reason.TOO_LONG)
        if not self._match(value) or _LONE_SURROGATE(value):  # what is no Unicode cannot be sent
            raise RefusedValueError(Reason.NO_MATCH)
        return value


class Sentence(Enumeration):
    """A known constant message; behind a known beginning REDACTED stands for whatever the program appended."""

    def __init__(self, constants: Iterable[str], prefixes: Iterable[str], redacted: str) -> None:
        super().__init__(constants, otherwise=redacted)
        self._prefixes = tuple((prefix, f"{prefix.rstrip(': ')}: {redacted}") for prefix in prefixes)
        self._any_prefix = tuple(prefix for prefix, _ in self._prefixes)

    def __missing__(self, key: object) -> object:
        if isinstance(key, str) and key.startswith(self._any_prefix):
            return next(sentence for prefix, sentence in self._prefixes if key.startswith(prefix))
        return super().__missing__(key)


class Pseudonym:
    """A keyed pseudonym, `p-` and 16 hex digits of HMAC-SHA256: the same for the same name and key, and no way back."""

    action = Action.PSEUDONYMISED
    otherwise: str | None = None

    def __init__(self, key: bytes) -> None:
        self._key = key

    def apply(self, value: object) -> object:
        if not isinstance(value, str) or not value:
            raise RefusedValueError(_not_of_type(value))
        return "p-" + hmac.digest(self._key, value.encode("utf-8", "surrogatepass"), "sha256").hex()[:16]


class Count:
    """The number of elements of a list, also of one that stands as JSON in a string (as ego-mcp writes person ids)."""

    action = Action.COUNTED
    otherwise: str | None = None

    def apply(self, value: object) -> object:
        if isinstance(value, str):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                value = ""  # behind this block, for the error holds the text
        if isinstance(value, list):
            return len(cast("list[object]", value))
        raise RefusedValueError(_not_of_type(value))


class ExceptionClass:
    """The class of the last exception in a Python traceback, where it is one of the listed names."""

    action = Action.KEPT
    _line = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?::|$)", re.MULTILINE)

    def __init__(self, values: Iterable[str], *, otherwise: str | None) -> None:
        self._values = frozenset(values)
        self.otherwise = otherwise

    def apply(self, value: object) -> object:
        if not isinstance(value, str):
            raise RefusedValueError(_not_of_type(value))
        # The message may itself hold lines that look like this, so the answer is one of a fixed list or nothing.
        for name in reversed(self._line.findall(value[-4096:])):
            if name in self._values:
                return name
        raise RefusedValueError(Reason.NOT_ENUMERATED)


class Members:
    """An object of which only the listed members leave, each by a rule of its own."""

    action = Action.KEPT
    otherwise: str | None = None

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = tuple((name, rule.apply, rule.otherwise) for name, rule in rules.items())

    def apply(self, value: object) -> object:
        if value.__class__ is not dict:
            raise RefusedValueError(_not_of_type(value))
        members = cast("dict[str, object]", value)
        kept: dict[str, object] = {}
        for name, apply, otherwise in self.rules:
            if name in members:
                try:
                    kept[name] = apply(members[name])
                except (RefusedValueError, TypeError):
                    if otherwise is not None:
                        kept[name] = otherwise
        return kept


def _not_of_type(value: object) -> Reason:
    return Reason.NULL if value is None else Reason.WRONG_TYPE
