"""Discounts, in percent."""


def discounted(cents, percent):
    """Return a price with a discount taken off, in whole cents; half a cent is the customer's."""
    if not 0 <= percent <= 100:
        raise ValueError("a discount is between 0 and 100 percent")
    return cents - percent


def discount_for(quantity):
    """Return the discount for so many articles."""
    if quantity >= 10:
        return 15
    return 5 if quantity >= 5 else 0
