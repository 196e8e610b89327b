"""Behind a load balancer that ends TLS (HAProxy) there are no client certificates: each call carries its own proof, and each
answer too. The attacks are made by a client of their own, with the keys of real agents."""
import hashlib
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from harness.balancer import Balancer
from harness.cluster import BIN, ROOT, Cluster
from harness.wait import patience, until


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    cluster = Cluster(env={"MEZITE_AUTH_H2C": "true"})
    balancer = Balancer(cluster)
    tmp = tmp_path_factory.mktemp("sealed-pb")
    subprocess.run(["protoc", f"-I{ROOT}/proto", f"--python_out={tmp}", *map(str, (ROOT / "proto/mezite/v1").glob("*.proto"))], check=True)
    sys.path.insert(0, str(tmp))
    from mezite.v1 import agent_pb2
    try:
        cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        for name in ("web-01", "web-02"):
            cluster.start_agent(name, **balancer.env())
        cluster.login_as("alice")
        yield SimpleNamespace(cluster=cluster, balancer=balancer, pb=agent_pb2)
    except BaseException:
        print(cluster.hub.output()[-4000:], balancer.process.output())
        for agent in cluster.agents.values():
            print(agent.output()[-3000:])
        raise
    finally:
        cluster.close()
        balancer.close()


def test_agents_join_serve_and_report_through_it(site):
    cluster = site.cluster
    assert cluster.ssh("alice", "web-01", "echo through").strip() == "through"
    # More than a window of the tunnel's, both ways.
    done = cluster.ssh("alice", "web-02", "wc -c", stdin=b"x" * 3_000_000)
    assert done.strip() == "3000000"
    assert len(cluster.ssh("alice", "web-02", "head -c 3000000 /dev/zero", check=False).stdout) == 3_000_000
    cluster.wait_audit("session.start")
    cluster.wait_recording()


def test_an_agent_comes_back_after_hub_and_balancer_were_away(site):
    cluster = site.cluster
    cluster.restart_hub()
    for name in ("web-01", "web-02"):
        cluster.wait_connected(name)
    assert cluster.ssh("alice", "web-01", "echo again").strip() == "again"


def mezd(site, name: str, **env) -> subprocess.CompletedProcess:
    return subprocess.run([str(BIN / "mezd")], env={**os.environ, **site.cluster.agent_env(name), **site.balancer.env(), **env},
                          capture_output=True, timeout=patience())


def test_the_balancers_certificate_is_checked(site):
    other = Balancer(site.cluster, "impostor")
    try:
        agent = site.cluster.start_agent("wary", wait=False, **{**other.env(), "MEZITE_TLS_CA_FILE": str(site.balancer.ca_file)})
        until(lambda: "joining failed" in agent.output(), "the agent to refuse the balancer")
        assert not any(n["name"] == "wary" for n in site.cluster.nodes())
        agent.stop()
    finally:
        other.close()


def test_a_hub_behind_it_that_is_not_the_one_of_the_pin(site, fresh):
    """The balancer's certificate says nothing of the hub: the answers' signatures do."""
    secret, _, pin = site.cluster.token().partition(".")
    done = mezd(site, "pinned", MEZITE_JOIN_TOKEN=f"{secret}.{'0' * len(pin)}")
    assert done.returncode != 0 and b"the answer is not the hub's" in done.stderr and b"pin" in done.stderr
    assert not (site.cluster.dir / "pinned" / "agent").exists()


def test_an_agent_that_does_not_know_of_the_balancer_is_told(site):
    agent = site.cluster.start_agent("plain", wait=False)
    until(lambda: "balancer that ends" in agent.output(), "the agent to say that this is no hub's own TLS")
    agent.stop()


# Attacks.

class Node:
    """The keys of an agent, used by somebody who writes calls by hand."""

    def __init__(self, site, name: str):
        folder = site.cluster.dir / name / "agent"
        self.pb = site.pb
        self.key = serialization.load_pem_private_key((folder / "x509.key").read_bytes(), None)
        self.der = x509.load_pem_x509_certificate((folder / "x509.pem").read_bytes()).public_bytes(serialization.Encoding.DER)
        # Past the balancer: whoever is in the network behind it.
        self.channel = grpc.insecure_channel(f"127.0.0.1:{site.cluster.grpc}", [("grpc.use_local_subchannel_pool", 1)])

    def call(self, method: str, request, answer, metadata=()):
        return self.channel.unary_unary(f"/mezite.v1.AgentService/{method}", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=answer.FromString)(request, timeout=30, metadata=metadata)

    def seal(self, method="GetSnapshot", request=b"", audience="test.mezite", age=0.0, nonce=None, key=None, der=None, signed=True):
        der = self.der if der is None else der
        statement = self.pb.CallStatement(
            method=method, audience=audience, time_ms=int((time.time() - age) * 1000), nonce=nonce or os.urandom(16),
            request_sha256=hashlib.sha256(request).digest(), certificate_sha256=hashlib.sha256(der).digest()).SerializeToString()
        r, s = utils.decode_dss_signature((key or self.key).sign(b"mezite-sealed-call-v1\0" + statement, ec.ECDSA(hashes.SHA256())))
        proof = r.to_bytes(32, "big") + s.to_bytes(32, "big") if signed else b""
        return self.pb.SealedCall(statement=statement, request=request, certificate=der, proof=proof)

    def sealed(self, call):
        return self.call("Sealed", call, self.pb.SealedAnswer)

    def refused(self, call, text: str, code=grpc.StatusCode.UNAUTHENTICATED):
        with pytest.raises(grpc.RpcError) as error:
            self.sealed(call)
        assert error.value.code() == code and text in error.value.details(), error.value.details()


@pytest.fixture(scope="module")
def node(site):
    return Node(site, "web-01")


def test_the_answer_is_signed_by_the_hub_for_this_call(site, node):
    call = node.seal()
    answer = node.sealed(call)
    leaf = x509.load_der_x509_certificate(answer.chain[0])
    r, s = int.from_bytes(answer.signature[:32], "big"), int.from_bytes(answer.signature[32:], "big")
    leaf.public_key().verify(utils.encode_dss_signature(r, s), b"mezite-sealed-answer-v1\0" + answer.statement, ec.ECDSA(hashes.SHA256()))
    said = site.pb.AnswerStatement.FromString(answer.statement)
    assert said.call_sha256 == hashlib.sha256(call.statement).digest()
    assert said.response_sha256 == hashlib.sha256(answer.response).digest()
    assert site.pb.Snapshot.FromString(answer.response).cluster_name == "test.mezite"
    pins = [hashlib.sha256(x509.load_der_x509_certificate(c).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest() for c in answer.chain]
    assert site.cluster.pin().removeprefix("sha256:") in pins


def test_bare_headers_claim_nothing(site, node):
    nodes = {n["name"]: n["id"] for n in site.cluster.nodes()}
    for metadata in ([("x-node-id", nodes["web-01"])], [("x-mezite-node", "web-01")], [("x-forwarded-client-cert", "By=x;Subject=web-01")],
                     [("ssl-client-cert", "web-01")], [("authorization", f"Bearer {nodes['web-01']}")]):
        with pytest.raises(grpc.RpcError) as error:
            node.call("GetSnapshot", site.pb.GetSnapshotRequest(), site.pb.Snapshot, metadata)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    node.refused(node.seal(der=b""), "needs an agent's signature")
    node.refused(node.seal(signed=False), "not signed by the key")


def test_a_call_works_once(node):
    call = node.seal()
    node.sealed(call)
    node.refused(call, "made already")


def test_the_key_of_another_node(site, node):
    other = Node(site, "web-02")
    node.refused(node.seal(key=other.key), "not signed by the key")
    call = node.seal()
    call.certificate = other.der
    node.refused(call, "not the one that was signed for")
    stranger = ec.generate_private_key(ec.SECP256R1())
    node.refused(node.seal(key=stranger), "not signed by the key")


def test_refusals_are_in_the_audit_log_and_do_not_fill_it(site):
    """Somebody between balancer and hub who tries for long is told of once a minute, with how often."""
    site.cluster.start_agent("victim", **site.balancer.env())
    victim = Node(site, "victim")
    stranger = ec.generate_private_key(ec.SECP256R1())

    def told() -> list[dict]:
        return [e for e in site.cluster.audit("--type=node.rejected") if e["details"]["reason"] == "sealed_call"]
    for _ in range(30):
        victim.refused(victim.seal(key=stranger), "not signed by the key")
    name = next(n["id"] for n in site.cluster.nodes() if n["name"] == "victim")
    mine = [e for e in told() if e["resource_name"] == name]
    assert len(mine) == 1, mine
    event = mine[0]
    assert (event["event_code"], event["success"], event["client_ip"]) == ("T1054W", False, "127.0.0.1"), event
    assert "not signed by the key of its certificate" in event["error_message"] and event["details"]["listener"] == "grpc"
    # And a call that is good is refused for none of this.
    victim.sealed(victim.seal())
    site.cluster.agents.pop("victim").stop()


def test_content_that_was_changed_on_the_way(site, node):
    call = node.seal("EmitEvents", site.pb.EmitEventsRequest(events_json=["{}"]).SerializeToString())
    call.request = site.pb.EmitEventsRequest(events_json=["[]"]).SerializeToString()
    node.refused(call, "not what was signed")
    call = node.seal()
    call.statement = call.statement.replace(b"GetSnapshot", b"RenewXXXXXX")
    node.refused(call, "not signed by the key")


@pytest.mark.parametrize("age,word", [(61.5, "behind"), (3600, "behind"), (-62, "ahead of"), (-86400, "ahead of")])
def test_calls_of_another_time(node, age, word):
    node.refused(node.seal(age=age), f"{word} the hub's")


def test_calls_for_another_cluster_and_methods_that_are_not_there(node):
    node.refused(node.seal(audience="other.mezite"), "another cluster")
    node.refused(node.seal(audience=""), "another cluster")
    node.refused(node.seal("Sealed"), "no such call", grpc.StatusCode.INVALID_ARGUMENT)
    node.refused(node.seal(nonce=b"short"), "nonce")


def test_what_was_made_before_the_hub_began(site, node):
    """Which nonces an earlier hub has seen is not known: a call from before is not taken."""
    call = node.seal()
    node.sealed(call)
    site.cluster.restart_hub()
    Node(site, "web-01").refused(call, "just started", grpc.StatusCode.UNAVAILABLE)
    for name in ("web-01", "web-02"):
        site.cluster.wait_connected(name)
    node.channel = grpc.insecure_channel(f"127.0.0.1:{site.cluster.grpc}", [("grpc.use_local_subchannel_pool", 1)])


def test_joining_and_administration_in_clear(site, node):
    """The port in clear takes no join outside of a sealed call, and no admin call without a session."""
    with pytest.raises(grpc.RpcError) as error:
        node.call("Join", site.pb.JoinRequest(token=site.cluster.token(), node_name="clear"), site.pb.JoinResponse)
    assert "MEZITE_TLS_WRAP" in error.value.details()
    for method in ("ListUsers", "CreateToken", "GetCaStatus", "ListNodes"):
        with pytest.raises(grpc.RpcError) as error:
            node.channel.unary_unary(f"/mezite.v1.AdminService/{method}")(b"", timeout=30)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_node_that_was_removed(site):
    site.cluster.start_agent("leaver", **site.balancer.env())
    leaver = Node(site, "leaver")
    leaver.sealed(leaver.seal())
    site.cluster.mezctl("nodes", "rm", "leaver")
    leaver.refused(leaver.seal(), "removed from the cluster")
    site.cluster.agents.pop("leaver").stop()
