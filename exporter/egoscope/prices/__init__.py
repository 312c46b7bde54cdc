"""What model calls cost: a dated list of prices that a user's file can be laid over."""

from egoscope.prices.load import load_prices
from egoscope.prices.prices import Price, Prices

__all__ = ["Price", "Prices", "load_prices"]
