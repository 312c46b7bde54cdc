"""Dashboards as code: `python -m dashgen` writes grafana/dashboards/*.json.

Only panels and options that Grafana 9.4 and 13 both know.
"""
