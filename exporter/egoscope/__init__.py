"""egoscope: what AI agents do, feel and cost, without their private words."""

__version__ = "0.1.0"
