import unittest

from shop.discounts import discount_for, discounted


class DiscountsTest(unittest.TestCase):
    def test_a_discount_is_a_share_of_the_price(self):
        self.assertEqual(discounted(12000, 15), 10200)

    def test_half_a_cent_is_the_customer_s(self):
        self.assertEqual(discounted(250, 5), 237)

    def test_no_discount_changes_nothing(self):
        self.assertEqual(discounted(450, 0), 450)

    def test_more_than_all_of_it_is_no_discount(self):
        with self.assertRaises(ValueError):
            discounted(100, 101)

    def test_who_buys_more_pays_less(self):
        self.assertEqual([discount_for(quantity) for quantity in (1, 5, 10)], [0, 5, 15])
