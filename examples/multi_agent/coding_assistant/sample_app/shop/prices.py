"""Prices in cents."""

PRICES = {"tea": 450, "cup": 1200, "spoon": 250}


def price_of(article, quantity):
    """Return what so many of an article cost."""
    if quantity < 1:
        raise ValueError("at least one")
    return PRICES[article] * quantity
