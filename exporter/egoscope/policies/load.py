"""Reading a policy: the packaged allow-list of a source, extended by a user's file of the same name."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from egoscope.convert.semconv import REDACTED
from egoscope.errors import ConfigError
from egoscope.redaction import Policy
from egoscope.rules import (
    Boolean,
    Count,
    Enumeration,
    ExceptionClass,
    Flag,
    Members,
    Number,
    Pattern,
    Pseudonym,
    Rule,
    Sentence,
    Time,
)

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = 1
_MAX_PATTERN_LENGTH = 200
_MAX_MEMBERS_DEPTH = 4


class _Spec(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, tag_field="rule"):
    """One `[fields.NAME]` table."""


class _Time(_Spec, tag="time"):
    pass


class _Enumeration(_Spec, tag="enumeration"):
    values: Annotated[list[str], msgspec.Meta(min_length=1)]
    otherwise: str | None = None


class _Number(_Spec, tag="number"):
    min: float
    max: float


class _Boolean(_Spec, tag="boolean"):
    pass


class _Flag(_Spec, tag="flag"):
    pass


class _Pattern(_Spec, tag="pattern"):
    pattern: str
    max_length: Annotated[int, msgspec.Meta(ge=1, le=_MAX_PATTERN_LENGTH)]


class _Pseudonym(_Spec, tag="pseudonym"):
    pass


class _Count(_Spec, tag="count"):
    pass


class _Sentence(_Spec, tag="sentence"):
    constants: list[str]
    prefixes: list[str] = []


class _Exception(_Spec, tag="exception"):
    values: list[str]
    otherwise: str | None = None


class _Mapping(_Spec, tag="mapping"):
    fields: dict[str, _AnySpec]


_AnySpec = (
    _Time
    | _Enumeration
    | _Number
    | _Boolean
    | _Flag
    | _Pattern
    | _Pseudonym
    | _Count
    | _Sentence
    | _Exception
    | _Mapping
)


class _Drop(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    fields: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    schema: Literal[1]
    fields: dict[str, dict[str, Any]] = {}
    drop: _Drop = _Drop()


def load_policy(source: str, *, key: bytes, extension_dir: Path | None = None) -> Policy:
    """Return the policy of a source, with `extension_dir/SOURCE.toml` laid over the packaged one where it exists.

    A field in the extension replaces the packaged rule of that name; one that the packaged policy does not know leaves
    as an attribute of its own. `[drop] fields` takes fields away. `key` keys the pseudonyms. Raises ConfigError that
    names the file and the field.
    """
    packaged = resources.files("egoscope.policies").joinpath(f"{source}.toml")
    spec = _decode(packaged.read_bytes(), str(packaged), source)
    rules, private = _rules(spec, str(packaged), key), set(spec.drop.fields)
    added: frozenset[str] = frozenset()
    if extension_dir is not None and (path := extension_dir / f"{source}.toml").exists():
        extension = _decode(path.read_bytes(), str(path), source)
        extended = _rules(extension, str(path), key)
        private = (private - set(extended)) | set(extension.drop.fields)
        added = frozenset(extended.keys() - rules.keys() - set(extension.drop.fields))
        rules = {name: rule for name, rule in (rules | extended).items() if name not in extension.drop.fields}
    return Policy(source, rules, frozenset(private), added)


def _rules(spec: _File, path: str, key: bytes) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for name, table in spec.fields.items():
        try:
            rules[name] = _rule(name, msgspec.convert(table, _AnySpec), key, 1)
        except (msgspec.ValidationError, ConfigError) as error:
            raise ConfigError(f"policy {path}: field {name}: {error}") from None
    return rules


def _decode(data: bytes, path: str, source: str) -> _File:
    try:
        spec = msgspec.convert(tomllib.loads(data.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"policy {path}: {error}") from None
    if spec.source != source:
        raise ConfigError(f"policy {path}: source is {spec.source!r}, but the file is the policy of {source!r}")
    return spec


def _rule(name: str, spec: _AnySpec, key: bytes, depth: int) -> Rule:  # noqa: PLR0911 (one line a kind of rule)
    match spec:
        case _Enumeration(values=values, otherwise=otherwise):
            return Enumeration(values, otherwise=otherwise)
        case _Number(min=minimum, max=maximum):
            if not minimum <= maximum:
                raise ConfigError(f"min {minimum} is above max {maximum}")
            return Number(minimum, maximum)
        case _Boolean():
            return Boolean()
        case _Pattern(pattern=pattern, max_length=max_length):
            try:
                return Pattern(pattern, max_length)
            except re.error as error:
                raise ConfigError(f"the pattern is no regular expression: {error}") from None
        case _Pseudonym():
            return Pseudonym(key)
        case _Flag():
            return Flag()
        case _Count():
            return Count()
        case _Sentence(constants=constants, prefixes=prefixes):
            return Sentence(constants, prefixes, REDACTED)
        case _Exception(values=values, otherwise=otherwise):
            return ExceptionClass(values, otherwise=otherwise)
        case _Mapping(fields=fields):
            if depth > _MAX_MEMBERS_DEPTH:
                raise ConfigError(f"mappings are nested deeper than {_MAX_MEMBERS_DEPTH}")
            return Members(
                {member: _rule(f"{name}.{member}", field, key, depth + 1) for member, field in fields.items()}
            )
        case _Time():
            return Time()
