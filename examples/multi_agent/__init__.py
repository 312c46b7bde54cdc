"""Flows of several agents on illumo-flow, each traced through a TracerDB."""
