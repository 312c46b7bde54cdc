"""Screens of what agents and flows did, used and cost, made from a query's answers."""
