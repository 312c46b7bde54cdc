"""`egoscope check`: are settings and policies valid? Reads, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egoscope.errors import ConfigError
from egoscope.feeds import build_format, build_row_format, database_patterns
from egoscope.prices import load_prices

if TYPE_CHECKING:
    from egoscope.config import Settings

_ANY_KEY = b"check" * 8


def run_check(settings: Settings) -> str:
    """Return what was found in order, a line each. Raises ConfigError at the first thing that is not."""
    lines = [f"settings: valid; logs are looked for in {', '.join(settings.patterns)}"]
    if settings.policy_dir is not None and not settings.policy_dir.is_dir():
        raise ConfigError(f"EGOSCOPE_POLICY_DIR: {settings.policy_dir} is no directory: make it, or unset the option")
    policies = list(build_format(_ANY_KEY, settings.policy_dir).policies)
    for source, patterns in database_patterns(settings).items():
        if patterns:
            lines.append(f"databases of {source}: looked for in {', '.join(patterns)}")
            policies += build_row_format(source, settings, _ANY_KEY).policies
    # Two kinds of database can share theirs.
    for name, policy in {policy.source: policy for policy in policies}.items():
        lines.append(f"policy {name}: valid; {len(policy.rules)} fields may leave, everything else is dropped")
    if settings.kagura_path or settings.price_file:
        prices = load_prices(settings.price_file)
        lines.append(f"prices: valid; {len(prices.models)} models, as of {prices.as_of}")
    return "\n".join(lines)
