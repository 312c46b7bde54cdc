import unittest

from shop.cart import Cart
from shop.receipts import receipt


class CartTest(unittest.TestCase):
    def test_one_article_costs_its_price(self):
        cart = Cart()
        cart.add("tea")
        self.assertEqual(cart.total(), 450)

    def test_ten_cups_cost_fifteen_percent_less(self):
        cart = Cart()
        cart.add("cup", 4)
        cart.add("cup", 6)
        self.assertEqual(cart.total(), 10200)

    def test_a_receipt_ends_with_the_total(self):
        cart = Cart()
        cart.add("spoon", 2)
        self.assertEqual(receipt(cart), "2 x spoon\nTotal: 5.00")
