"""Prices of models: what a call cost where it did not tell, and whose model it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from egoscope.convert.semconv import OTHER

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

USD_DECIMALS: Final = 9
"""Each cost, and each sum of costs, is rounded to nano-dollars (decision 0021)."""

_VERSION: Final = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
"""What may follow the name of a model and still be the same model at the same price: a date."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens. For calls with more input than `up_to_input_tokens` the price is not known."""

    input: float
    output: float
    up_to_input_tokens: int | None = None


class Prices:
    """The prices that are known. A model is looked for under its own name, without its route, and without its date."""

    def __init__(
        self,
        as_of: dt.date,
        models: Mapping[str, Price],
        providers: Mapping[str, str],
        families: Mapping[str, str],
        routes: Mapping[str, str],
    ) -> None:
        """Providers by model (`providers`), by how a model's name begins, and by the route before it."""
        self.as_of = as_of
        """When the packaged list was true."""
        self.models = dict(models)
        self._providers = dict(providers)
        # The longest beginning that fits tells.
        self._families = sorted(families.items(), key=lambda one: -len(one[0]))
        self._routes = dict(routes)

    def cost_usd(self, model: str, input_tokens: float | None, output_tokens: float | None) -> float | None:
        """Return what a call costs, rounded to nano-dollars; None where the price or the tokens are not known.

        One kind of tokens may be missing (an embedding has no output); both may not.
        """
        price = self._price(model)
        if price is None or (input_tokens is None and output_tokens is None):
            return None
        given = input_tokens or 0
        if price.up_to_input_tokens is not None and given > price.up_to_input_tokens:
            return None
        return round((given * price.input + (output_tokens or 0) * price.output) / 1e6, USD_DECIMALS)

    def provider(self, model: str) -> str:
        """Return `gen_ai.provider.name` of a model: one of the conventions' values, or `_OTHER`."""
        if model in self._providers:
            return self._providers[model]
        route, slash, _ = model.partition("/")
        if slash:
            return self._routes.get(route + slash, OTHER)
        return next((provider for family, provider in self._families if model.startswith(family)), OTHER)

    def _price(self, model: str) -> Price | None:
        if model in self.models:
            return self.models[model]
        route, slash, rest = model.partition("/")
        if slash:
            # The maker's own API has the maker's price; the same model elsewhere may have another one.
            maker = self._routes.get(route + slash)
            if maker is None or maker != self.provider(rest):
                return None
            return self._price(rest)
        return self.models.get(_VERSION.sub("", model))
