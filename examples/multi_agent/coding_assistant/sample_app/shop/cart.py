"""What somebody is about to buy."""

from shop.discounts import discount_for, discounted
from shop.prices import price_of


class Cart:
    """Articles and how many of each."""

    def __init__(self):
        self.articles = {}

    def add(self, article, quantity=1):
        """Put an article in, or more of it."""
        self.articles[article] = self.articles.get(article, 0) + quantity

    def total(self):
        """Return what the cart costs, in cents."""
        return sum(
            discounted(price_of(article, quantity), discount_for(quantity))
            for article, quantity in self.articles.items()
        )
