"""Other implementations' clients against our server: each pair of algorithms that both know, data both ways, re-keying."""
import pytest

from .peers import rows


@pytest.mark.parametrize("peer", [peer for peer, role in rows() if role == "client"], ids=lambda peer: peer.name)
def test_client(peer, run_row):
    run_row(peer, "client")
