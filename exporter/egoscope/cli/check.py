"""`egoscope check`: are settings and policies valid? Reads, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.errors import ConfigError
from egoscope.feeds import database_patterns
from egoscope.policies import load_policy
from egoscope.prices import load_prices
from egoscope.sources.ego_mcp import SOURCE, SOURCE_EVENTS

if TYPE_CHECKING:
    from egoscope.config import Settings

_ANY_KEY = b"check" * 8


def run_check(settings: Settings) -> str:
    """Return what was found in order, a line each. Raises ConfigError at the first thing that is not."""
    lines = [f"settings: valid; logs are looked for in {', '.join(settings.patterns)}"]
    policies = [SOURCE, SOURCE_EVENTS]
    for source, patterns in database_patterns(settings).items():
        if patterns:
            lines.append(f"databases of {source}: looked for in {', '.join(patterns)}")
            policies += [source, f"{source}_events"]
    if settings.policy_dir is not None and not settings.policy_dir.is_dir():
        raise ConfigError(f"EGOSCOPE_POLICY_DIR: {settings.policy_dir} is no directory: make it, or unset the option")
    for source in policies:
        policy = load_policy(source, key=_ANY_KEY, extension_dir=settings.policy_dir)
        lines.append(f"policy {source}: valid; {len(policy.rules)} fields may leave, everything else is dropped")
    if settings.kagura_path or settings.price_file:
        prices = load_prices(settings.price_file)
        lines.append(f"prices: valid; {len(prices.models)} models, as of {prices.as_of}")
    return "\n".join(lines)
