"""auth.grpc_allow_http: one port for agents and mezctl with TLS of the hub's own, and for a load balancer that ends TLS and
speaks HTTP/2 in clear, by prior knowledge or by upgrade from HTTP/1.1."""
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from harness.balancer import Balancer
from harness.cluster import Cluster
from harness.wait import until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_CALL = b"\0\0\0\0\0"  # a message of no bytes, as gRPC frames it


@pytest.fixture(scope="module")
def mixed():
    cluster = Cluster(env={"MEZITE_GRPC_ALLOW_HTTP": "true"})
    try:
        cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        cluster.login_as("alice")
        yield cluster
    finally:
        cluster.close()


def connect(cluster) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", cluster.grpc), timeout=20)
    return peer


def curl(cluster, *flags: str, method: str = "Login", body: bytes = EMPTY_CALL) -> str:
    """What came back: the head and the trailers."""
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", *flags, "-H", "content-type: application/grpc", "-H", "te: trailers",
                           "--data-binary", "@-", f"http://127.0.0.1:{cluster.grpc}/mezite.v1.AdminService/{method}"],
                          input=body, capture_output=True)
    return done.stdout.decode(errors="replace") + done.stderr.decode()


def test_agents_come_directly_and_through_the_balancer(mixed):
    mixed.start_agent("direct")
    balancer = Balancer(mixed)
    try:
        mixed.start_agent("behind", **balancer.env())
        for name in ("direct", "behind"):
            assert mixed.ssh("alice", name, "echo in").strip() == "in"
        token = mixed.mezctl("login", f"--auth-server=127.0.0.1:{mixed.grpc}", "--username=alice", "--password=a good long password",
                             f"--ca-pin={mixed.pin()}").strip()
        assert len(token) > 20
        for agent in list(mixed.agents):
            mixed.agents.pop(agent).stop()
    finally:
        balancer.close()


@pytest.mark.parametrize("way", ["--http2-prior-knowledge", "--http2"])
def test_http2_in_clear_by_either_way(mixed, way):
    said = curl(mixed, way)
    assert "HTTP/2 200" in said and "grpc-status: " in said, said
    assert ("101 Switching Protocols" in said) == (way == "--http2"), said
    refused = curl(mixed, way, method="ListUsers")
    assert "grpc-status: 16" in refused and "not logged in" in refused, refused


def test_an_upgrade_keeps_the_whole_request(mixed):
    """The body came before the upgrade; what it says must reach the call: here a user name and a password, as protobuf."""
    name, password = b"alice", b"wrong"
    message = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(password)]) + password
    said = curl(mixed, "--http2", body=b"\0" + len(message).to_bytes(4, "big") + message)
    assert "grpc-status: 16" in said and "wrong user name" in said, said
    mixed.wait_audit("user.login.failed", lambda e: e["user_name"] == "alice")
    large = b"\0" + (60_000).to_bytes(4, "big") + b"\x0a\xdc\xd4\x03" + b"x" * 59_996
    assert "grpc-status: " in curl(mixed, "--http2", "-H", "expect:", body=large)


def test_plain_http_is_told_what_the_port_speaks(mixed):
    said = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", f"http://127.0.0.1:{mixed.grpc}/"], capture_output=True, text=True)
    assert "426 Upgrade Required" in said.stdout and "gRPC port: it speaks TLS 1.3" in said.stdout, said


@pytest.mark.parametrize("said", [b"\0" * 64, b"SSH-2.0-x\r\n", b"PRI * HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000,
                                  b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
                                  b"http2-settings: AAMAAABk\r\n\r\nGET / HTTP/1.1\r\n\r\n" + b"x" * 64,
                                  b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
                                  b"http2-settings: AAMAAABk\r\n\r\n" + PREFACE + b"\xff\xff\xff\x04" + b"\0" * 64],
                         ids=["zeros", "ssh", "half a preface", "endless head", "no preface", "giant settings"])
def test_other_first_bytes_end_the_connection(mixed, said):
    with connect(mixed) as peer:
        try:
            peer.sendall(said)
            while peer.recv(4096):
                pass
        except ConnectionError:
            pass
    assert mixed.hub.running()


def test_first_bytes_one_by_one(mixed):
    """However the first bytes are cut, they are read as what they are."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with connect(mixed) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while tls.version() is None or outgoing.pending:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            sent = outgoing.read()
            for i in range(len(sent)):
                peer.sendall(sent[i:i + 1])
            if tls.version() is None or tls.selected_alpn_protocol() is None:
                incoming.write(peer.recv(65536))
        assert tls.version() == "TLSv1.3" and tls.selected_alpn_protocol() == "h2"
    with connect(mixed) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(PREFACE)):
            peer.sendall(PREFACE[i:i + 1])
        peer.sendall(b"\0\0\0\4\0\0\0\0\0")
        assert peer.recv(9)[3] == 4, "the server's SETTINGS"


def test_nobody_is_an_agent_in_clear(mixed):
    with grpc.insecure_channel(f"127.0.0.1:{mixed.grpc}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        for method in ("GetSnapshot", "Renew", "EmitEvents"):
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(f"/mezite.v1.AgentService/{method}")(b"", timeout=30)
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED and "MEZITE_TLS_WRAP" in error.value.details()
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/mezite.v1.AgentService/Join")(b"", timeout=30)
        assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION and "MEZITE_TLS_WRAP" in error.value.details()


def test_silent_connections_keep_nobody_out(mixed):
    """As many as may be half-open from one address, which behind a balancer is everybody's; the oldest goes first."""
    with ThreadPoolExecutor(1) as pool:
        silent = [connect(mixed) for _ in range(900)]
        try:
            assert pool.submit(curl, mixed, "--http2-prior-knowledge").result().count("grpc-status: ") == 1
        finally:
            for peer in silent:
                peer.close()


def test_without_the_key_clear_text_is_refused(cluster):
    said = curl(cluster, "--http2-prior-knowledge")
    assert "grpc-status" not in said, said


def test_the_hub_stops_with_peers_that_have_said_nothing(fresh):
    cluster = fresh(env={"MEZITE_GRPC_ALLOW_HTTP": "true"})
    with connect(cluster), connect(cluster) as half:
        half.sendall(b"POST / HTTP/1.1\r\nconnection: upg")
        until(lambda: cluster.get("/healthz")[0] == 200, "the hub to serve")
        assert cluster.hub.stop() == 0
