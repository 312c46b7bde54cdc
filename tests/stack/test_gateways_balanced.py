"""Two gateways behind the load balancer of docs/scaling.md: one is killed, and nothing is lost or counted twice."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

import pytest

from egoscope.demo import DemoSettings, write_live
from tests.pages import DOCS, blocks
from tests.stack.fleet import collector_of
from tests.stack.nginx import Nginx
from tests.stack.processes import ANSWER_S, free_ports, wait_for
from tests.stack.sidecar import sidecar_on
from tests.stack.truth import check_exact, contents

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.processes import Way
    from tests.stack.servers import Collector, Stack

PAGE: Final = DOCS / "scaling.md"
ACCEPTED: Final = re.compile(r"^otelcol_receiver_accepted_log_records\S* (\S+)$", re.MULTILINE)


def records_taken(gateway: Collector) -> float:
    """Return how many log records a gateway has taken."""
    from urllib.request import urlopen  # noqa: PLC0415

    with urlopen(gateway.metrics_urls[0], timeout=ANSWER_S) as response:
        return sum(float(count) for count in ACCEPTED.findall(response.read().decode()))


@pytest.mark.parametrize("token", ["the-token"])
def test_a_gateway_of_two_may_go_at_any_time(stack: Stack, way: Way, tmp_path: Path, token: str) -> None:
    """Over TLS, with a token: the agent's Collector trusts the balancer, and the token passes through it."""
    (page,) = [block.code for block in blocks(PAGE) if block.language == "nginx"]
    secret = tmp_path / "token"
    secret.write_text(token)
    asks = {"EGOSCOPE_COLLECTOR_TOKEN_FILE": str(secret), "EGOSCOPE_GATEWAY_CONNECTION_AGE": "2s"}
    gateways = [
        collector_of(stack, tmp_path / name, way, "gateway.yaml", "token.yaml", **asks) for name in ("one", "two")
    ]
    (port,) = free_ports(1)
    balancer = Nginx(
        tmp_path / "nginx",
        port,
        page,
        {
            "gateway-1.internal:4317": gateways[0].endpoint,
            "gateway-2.internal:4317": gateways[1].endpoint,
            "listen 4317": f"listen 127.0.0.1:{port}",
            "/etc/ssl/gateway.crt": f"{tmp_path}/nginx/server.crt",
            "/etc/ssl/gateway.key": f"{tmp_path}/nginx/server.key",
        },
    )
    sends = {
        "EGOSCOPE_GATEWAY_ENDPOINT": f"dns:///localhost:{port}",
        "EGOSCOPE_GATEWAY_CA_FILE": str(balancer.certificate),
        "EGOSCOPE_GATEWAY_TOKEN_FILE": str(secret),
    }
    agent = collector_of(stack, tmp_path / "agent", way, "agent.yaml", "agent-token.yaml", **sends)
    stop = threading.Event()
    servers = (*gateways, balancer, agent)
    try:
        for server in servers:
            server.start()
        with sidecar_on(tmp_path, agent.endpoint, host_name="behind-a-balancer") as sidecar:
            live = DemoSettings(calls_per_minute=3000, rhythm=False)
            writer = threading.Thread(target=write_live, args=(sidecar.logs, live), kwargs={"stop": stop})
            sidecar.start()
            writer.start()
            try:
                wait_for(lambda: all(records_taken(one) > 0 for one in gateways), what="both gateways take records")
                gateways[0].kill()
                before = records_taken(gateways[1])
                wait_for(lambda: records_taken(gateways[1]) > before + 500, what="the other one takes them all")
                gateways[0].start()
                wait_for(lambda: records_taken(gateways[0]) > 0, what="the first one takes records again")
            finally:
                stop.set()
                writer.join()
            sidecar.wait_until_drained()
            check_exact(stack, contents(sidecar.instances()))
    finally:
        for server in reversed(servers):
            server.stop()
