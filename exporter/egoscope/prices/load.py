"""Reading a price list: the packaged one, with a user's file laid over it."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 (msgspec reads the annotations)
import math
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from egoscope.convert.semconv import OTHER
from egoscope.errors import ConfigError
from egoscope.prices.prices import Price, Prices

if TYPE_CHECKING:
    from pathlib import Path

PROVIDERS: Final = frozenset(
    {
        "anthropic",
        "aws.bedrock",
        "azure.ai.inference",
        "azure.ai.openai",
        "cohere",
        "deepseek",
        "gcp.gemini",
        "gcp.gen_ai",
        "gcp.vertex_ai",
        "groq",
        "ibm.watsonx.ai",
        "mistral_ai",
        "openai",
        "perplexity",
        "x_ai",
        OTHER,
    }
)
"""Values of gen_ai.provider.name in the semantic conventions v1.41.1, and `_OTHER` for all others."""

_MOST_USD: Final = 1_000_000.0


class _Provider(msgspec.Struct, forbid_unknown_fields=True):
    families: list[str] = []
    routes: list[str] = []
    models: dict[str, dict[str, Any]] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: Literal[1] = 1
    as_of: dt.date | None = None
    providers: dict[str, _Provider] = {}


def load_prices(price_file: Path | None = None) -> Prices:
    """Return the packaged prices with those of `price_file` laid over. Raises ConfigError that names file and entry."""
    packaged = resources.files("egoscope.prices").joinpath("prices.toml")
    files = [(str(packaged), _decode(packaged.read_bytes(), str(packaged)))]
    if price_file is not None:
        try:
            content = price_file.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"EGOSCOPE_PRICE_FILE: {price_file} cannot be read ({error.strerror}): name another, or unset it"
            ) from None
        files.append((str(price_file), _decode(content, str(price_file))))
    as_of = files[0][1].as_of
    if as_of is None:
        raise ConfigError(f"prices {packaged}: as_of is missing: it says when the prices were true")
    models: dict[str, Price] = {}
    by_model: dict[str, str] = {}
    families: dict[str, str] = {}
    routes: dict[str, str] = {}
    for path, content in files:
        for name, provider in content.providers.items():
            if name not in PROVIDERS:
                raise ConfigError(
                    f"prices {path}: providers.{name}: not a known provider; use one of {', '.join(sorted(PROVIDERS))}"
                )
            families |= dict.fromkeys(provider.families, name)
            routes |= dict.fromkeys(provider.routes, name)
            for model, table in provider.models.items():
                models[model] = _price(table, f"prices {path}: providers.{name}.models.{model}")
                by_model[model] = name
    return Prices(as_of, models, by_model, families, routes)


def _price(table: dict[str, Any], place: str) -> Price:
    try:
        price = msgspec.convert(table, Price)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {error}") from None
    for name, usd in (("input", price.input), ("output", price.output)):
        if not (math.isfinite(usd) and 0 <= usd <= _MOST_USD):
            raise ConfigError(f"{place}: {name} must be between 0 and {_MOST_USD:.0f} US dollars per million tokens")
    return price


def _decode(data: bytes, path: str) -> _File:
    try:
        return msgspec.convert(tomllib.loads(data.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"prices {path}: {error}") from None
