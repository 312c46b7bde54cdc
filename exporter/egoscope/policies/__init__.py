"""Allow-lists, one TOML file a source, and how they are read, extended and validated."""

from egoscope.policies.load import load_policy

__all__ = ["load_policy"]
