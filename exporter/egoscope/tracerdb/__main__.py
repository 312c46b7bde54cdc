"""Runs a flow of illumo-flow with a tracer of egoscope's; see docs/tracerdb.md."""

import sys

from egoscope.tracerdb.flow_command import main

sys.exit(main(sys.argv[1:]))
