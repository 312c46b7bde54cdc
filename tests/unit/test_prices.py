"""Prices of models: which name has which price, what is unknown, and what is wrong with a file."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.errors import ConfigError
from egoscope.prices import load_prices

if TYPE_CHECKING:
    from pathlib import Path

PRICES: Final = load_prices()


@pytest.mark.parametrize(
    ("model", "provider", "cost"),
    [
        pytest.param("gpt-4o", "openai", 0.0035, id="a model of the list"),
        pytest.param("gpt-4o-2024-11-20", "openai", 0.0035, id="a dated version of it"),
        pytest.param("gpt-4o-2024-05-13", "openai", 0.0065, id="a dated version with a price of its own"),
        pytest.param("claude-3-5-sonnet-20241022", "anthropic", 0.0045, id="a date in another form"),
        pytest.param("claude-3-5-sonnet-latest", "anthropic", 0.0045, id="the latest one"),
        pytest.param("gemini-2.0-flash", "gcp.gemini", 0.00014, id="a model of another provider"),
        pytest.param("gemini/gemini-2.0-flash", "gcp.gemini", 0.00014, id="by its maker's route"),
        pytest.param("gpt-4o-mini-tts", "openai", None, id="what only begins like a known model is another one"),
        pytest.param("gpt-99", "openai", None, id="an unknown model of a known family"),
        pytest.param("gpt-4o-20241", "openai", None, id="no date"),
        pytest.param("azure/gpt-4o", "azure.ai.openai", None, id="elsewhere the price may be another"),
        pytest.param("openrouter/openai/gpt-4o", "_OTHER", None, id="a route that is not known"),
        pytest.param("openai/claude-3-haiku", "openai", None, id="a model on a route that is not its maker's"),
        pytest.param("llama3:8b", "_OTHER", None, id="a model nobody knows"),
        pytest.param("_OTHER", "_OTHER", None, id="a model without a name"),
        pytest.param("", "_OTHER", None, id="nothing"),
    ],
)
def test_what_a_thousand_tokens_in_and_a_hundred_out_cost(model: str, provider: str, cost: float | None) -> None:
    assert (PRICES.provider(model), PRICES.cost_usd(model, 1000, 100)) == (provider, cost)


@pytest.mark.parametrize(
    ("given", "taken", "cost"),
    [
        pytest.param(0, 0, 0, id="nothing used, nothing paid"),
        pytest.param(1, 1, 0.0000125, id="to the nano-dollar"),
        pytest.param(1000, None, 0.0025, id="no output is told"),
        pytest.param(None, 1000, 0.01, id="no input is told"),
        pytest.param(None, None, None, id="no tokens at all are unknown, not free"),
    ],
)
def test_a_cost_needs_tokens(given: float | None, taken: float | None, cost: float | None) -> None:
    assert PRICES.cost_usd("gpt-4o", given, taken) == cost


def test_above_a_size_of_the_prompt_the_price_is_another_and_unknown() -> None:
    assert PRICES.cost_usd("gemini-2.5-pro", 200_000, 0) == 0.25
    assert PRICES.cost_usd("gemini-2.5-pro", 200_001, 0) is None


def test_the_packaged_list_is_dated_and_sane() -> None:
    """Every price is of this age of the world, and what comes out costs no less than what goes in."""
    assert dt.date(2026, 1, 1) <= PRICES.as_of <= dt.date(2026, 12, 31)
    assert len(PRICES.models) > 30
    assert [name for name, price in PRICES.models.items() if not 0 < price.input <= price.output <= 200] == []
    assert [name for name in PRICES.models if PRICES.provider(name) == "_OTHER"] == []


def test_a_file_of_ones_own_is_laid_over(tmp_path: Path) -> None:
    """Its prices replace, add, and may be nothing; all others stay."""
    path = tmp_path / "prices.toml"
    path.write_text(
        """
[providers.openai.models]
"gpt-4o" = { input = 1.0, output = 2.0 }
[providers."azure.ai.openai".models]
"azure/my-deployment" = { input = 3.0, output = 4.0 }
[providers._OTHER]
families = ["llama"]
[providers._OTHER.models]
"llama3:8b" = { input = 0, output = 0 }
"""
    )
    prices = load_prices(path)
    costs = [prices.cost_usd(name, 10**6, 0) for name in ("gpt-4o", "azure/my-deployment", "llama3:8b", "gpt-4o-mini")]
    assert costs == [1.0, 3.0, 0.0, 0.15]
    assert prices.cost_usd("gpt-4o-2024-11-20", 10**6, 0) == 1.0
    assert prices.provider("azure/my-deployment") == "azure.ai.openai"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param("[providers", "Expected ']'", id="no TOML"),
        pytest.param(b"\xff", "can't decode byte", id="no text"),
        pytest.param("[models]", "unknown field `models`", id="a table that is not known"),
        pytest.param("schema = 2", "$.schema", id="another schema"),
        pytest.param(
            "[providers.acme]", "providers.acme: not a known provider; use one of _OTHER, anthropic", id="provider"
        ),
        pytest.param(
            '[providers.openai.models]\n"gpt-x" = { input = 1 }',
            "providers.openai.models.gpt-x: Object missing required field `output`",
            id="half a price",
        ),
        pytest.param(
            '[providers.openai.models]\n"gpt-x" = { input = "1", output = 1 }',
            "models.gpt-x: Expected `float`",
            id="a text",
        ),
        pytest.param(
            '[providers.openai.models]\n"gpt-x" = { input = -1, output = 1 }',
            "models.gpt-x: input must be between 0 and 1000000 US dollars per million tokens",
            id="a negative price",
        ),
        pytest.param(
            '[providers.openai.models]\n"gpt-x" = { input = 1, output = nan }', "models.gpt-x: output must be", id="NaN"
        ),
        pytest.param(
            '[providers.openai.models]\n"gpt-x" = { input = 1, output = 1, cached = 1 }',
            "unknown field `cached`",
            id="more",
        ),
    ],
)
def test_what_is_wrong_is_named_by_file_and_entry(content: str | bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "my-prices.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as raised:
        load_prices(path)
    assert str(path) in str(raised.value)
    assert complaint in str(raised.value)


def test_a_file_that_is_not_there_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"EGOSCOPE_PRICE_FILE: .*missing.toml cannot be read \(No such file"):
        load_prices(tmp_path / "missing.toml")
