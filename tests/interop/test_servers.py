"""Our client against other implementations' servers: each pair of algorithms that both know, data both ways, re-keying."""
import pytest

from .peers import rows


@pytest.mark.parametrize("peer", [peer for peer, role in rows() if role == "server"], ids=lambda peer: peer.name)
def test_server(peer, run_row):
    run_row(peer, "server")
