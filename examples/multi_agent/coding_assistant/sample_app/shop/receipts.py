"""Receipts."""


def receipt(cart):
    """Return a receipt, a line an article and the total."""
    lines = [f"{quantity} x {article}" for article, quantity in sorted(cart.articles.items())]
    return "\n".join([*lines, f"Total: {cart.total() / 100:.2f}"])
