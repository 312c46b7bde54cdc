"""Tests of the dashboards in a real Grafana, seen through a real browser."""
