"""Joining by cloud identity: the machine signs a request to AWS STS, the hub sends it. STS is a stand-in that verifies the
signature; hostile machines are made of botocore's signer and a gRPC client of their own."""
import hashlib
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import grpc
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from harness.cluster import BIN, ROOT, Cluster
from harness.process import Process
from harness.sts import ACCOUNT, StsStandIn
from harness.wait import patience, until

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.fixture(scope="module")
def cloud():
    sts = StsStandIn()
    cluster = Cluster(config=sts.config())
    try:
        yield SimpleNamespace(sts=sts, cluster=cluster)
    except BaseException:
        print(cluster.hub.output()[-4000:])
        raise
    finally:
        cluster.close()
        sts.close()


@pytest.fixture(autouse=True)
def healthy(request):
    if "cloud" in request.fixturenames:
        sts = request.getfixturevalue("cloud").sts
        sts.status, sts.location = 0, ""
        sts.answers.set()
    yield


def iam_token(cluster, *more: str) -> dict:
    return json.loads(cluster.mezctl("tokens", "create", "--roles=node", "--ttl=720h", "--join-method=iam", "--format=json",
                                     *(more or (f"--aws-account={ACCOUNT}",))))


def mezd(cluster, name: str, token: str, machine: dict) -> subprocess.CompletedProcess:
    import os
    env = {**os.environ, **machine, **cluster.agent_env(name, MEZITE_JOIN_TOKEN=token, MEZITE_JOIN_METHOD="iam")}
    return subprocess.run([str(BIN / "mezd")], env=env, capture_output=True, timeout=patience())


def start(cluster, name: str, token: str, machine: dict, **more: str) -> Process:
    return cluster.start_agent(name, MEZITE_JOIN_TOKEN=token, MEZITE_JOIN_METHOD="iam", **machine, **more)


def rejected(cluster, name: str, text: str) -> dict:
    return cluster.wait_audit("token.rejected", lambda e: e["resource_name"] == name and text in e["error_message"])


def test_machines_of_an_account_join_with_one_token(cloud):
    made = iam_token(cloud.cluster, f"--aws-account={ACCOUNT}",
                     f"--aws-arn=arn:aws:sts::{ACCOUNT}:assumed-role/web-*/*", "--labels=zone=cloud")
    assert made["join_method"] == "iam" and made["token"].startswith(made["id"] + ".")
    for name in ("cloud-1", "cloud-2"):
        start(cloud.cluster, name, made["token"], cloud.sts.machine(name, token="session/token=="))
        joined = cloud.cluster.wait_audit("node.joined", lambda e: e["resource_name"] == name)
        assert joined["details"]["aws_arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/web-nodes/i-{name}"
    nodes = {n["name"]: n for n in cloud.cluster.nodes()}
    assert nodes["cloud-1"]["labels"]["zone"] == "cloud"
    assert "iam" in cloud.cluster.mezctl("tokens", "ls")
    # What went to STS was the one request, as it had been signed.
    sent = cloud.sts.requests[-1]
    assert (sent["method"], sent["path"], sent["body"]) == ("POST", "/", BODY)


def test_a_wiped_machine_joins_again_and_another_one_may_not_have_its_name(cloud):
    token = iam_token(cloud.cluster)["token"]
    machine = cloud.sts.machine("phoenix")
    agent = start(cloud.cluster, "phoenix", token, machine)
    agent.stop()
    until(lambda: not any(n["name"] == "phoenix" and n.get("connected") for n in cloud.cluster.nodes()), "the node to be gone")
    subprocess.run(["rm", "-rf", str(cloud.cluster.dir / "phoenix")], check=True)
    done = mezd(cloud.cluster, "phoenix", token, cloud.sts.machine("cuckoo"))
    assert done.returncode != 0 and b"mezctl nodes rm phoenix" in done.stderr
    rejected(cloud.cluster, "phoenix", "is there, and joined as")
    subprocess.run(["rm", "-rf", str(cloud.cluster.dir / "phoenix")], check=True)
    start(cloud.cluster, "phoenix", token, machine)


@pytest.mark.parametrize("who,text", [
    ({"account": "999988887777"}, b"AWS account 999988887777 may not join"),
    ({"role": "db-nodes"}, b"assumed-role/db-nodes"),
    ({"role": "web/x"}, b"may not join"),  # '*' reaches over no '/'
])
def test_machines_that_the_token_does_not_list(cloud, who, text):
    token = iam_token(cloud.cluster, f"--aws-account={ACCOUNT}", f"--aws-arn=arn:aws:sts::{ACCOUNT}:assumed-role/web*/i-*")["token"]
    done = mezd(cloud.cluster, "stranger", token, cloud.sts.machine("stranger", **who))
    assert done.returncode != 0 and text in done.stderr
    assert rejected(cloud.cluster, "stranger", "may not join")["details"]["aws_arn"]
    assert not any(n["name"] == "stranger" for n in cloud.cluster.nodes())


def test_a_signature_that_sts_refuses(cloud):
    token = iam_token(cloud.cluster)["token"]
    machine = cloud.sts.machine("forger")
    machine["AWS_SECRET_ACCESS_KEY"] = "another"
    done = mezd(cloud.cluster, "forger", token, machine)
    assert done.returncode != 0 and b"InvalidSignatureException" in done.stderr and b"check its role or credentials" in done.stderr
    rejected(cloud.cluster, "forger", "InvalidSignatureException")


def test_sts_that_fails_or_redirects_is_no_yes(cloud):
    """The agent goes on trying while STS is down, and joins when it is back; a redirect is not followed."""
    token = iam_token(cloud.cluster)["token"]
    trap = StsStandIn(cloud.sts.region)
    try:
        cloud.sts.status, cloud.sts.location = 500, ""
        machine = cloud.sts.machine("patient")
        agent = cloud.cluster.start_agent("patient", wait=False, MEZITE_JOIN_TOKEN=token, MEZITE_JOIN_METHOD="iam", **machine)
        rejected(cloud.cluster, "patient", "joining is tried again")
        cloud.sts.status, cloud.sts.location = 307, trap.url + "/"
        rejected(cloud.cluster, "patient", "RefusedOnCommand")
        before = len(cloud.sts.requests)
        until(lambda: len(cloud.sts.requests) > before + 1, "another try")
        assert agent.running() and not trap.requests
        cloud.sts.status, cloud.sts.location = 0, ""
        cloud.cluster.wait_connected("patient")
    finally:
        trap.close()


def test_sts_that_is_slow_holds_nobody_else_up(cloud):
    token = iam_token(cloud.cluster)["token"]
    cloud.sts.answers.clear()
    agents = [cloud.cluster.start_agent(f"slow-{i}", wait=False, MEZITE_JOIN_TOKEN=token, MEZITE_JOIN_METHOD="iam",
                                        **cloud.sts.machine(f"slow-{i}")) for i in range(5)]
    until(lambda: any("too many machines" in a.output() for a in agents), "a machine to be told to come back")
    began = time.monotonic()
    cloud.cluster.nodes()
    assert time.monotonic() - began < 5
    cloud.sts.answers.set()
    for i in range(5):
        cloud.cluster.wait_connected(f"slow-{i}")


@pytest.mark.parametrize("flags,text", [
    (("--join-method=iam",), b"--aws-account"),
    (("--join-method=iam", "--aws-account=1234"), b"12 digits"),
    (("--join-method=iam", f"--aws-account={ACCOUNT}", "--aws-arn=*"), b"is not the ARN of a caller"),
    (("--join-method=iam", f"--aws-account={ACCOUNT}", "--aws-arn=arn:aws:sts::999988887777:assumed-role/x/*"), b"nobody could join"),
    ((f"--aws-account={ACCOUNT}",), b"--join-method=iam"),
    (("--join-method=magic",), b"token or iam"),
])
def test_tokens_that_make_no_sense(cloud, flags, text):
    done = cloud.cluster.mezctl("tokens", "create", *flags, check=False)
    assert done.returncode != 0 and text in done.stderr


def test_tokens_of_one_method_are_not_of_the_other(cloud):
    named = iam_token(cloud.cluster)["token"]
    secret = cloud.cluster.token()
    done = mezd(cloud.cluster, "mixed", secret, cloud.sts.machine("mixed"))
    assert done.returncode != 0 and b"not a join token of method iam" in done.stderr
    import os
    for token in (named, named.split(".")[0]):
        done = subprocess.run([str(BIN / "mezd")], env={**os.environ, **cloud.cluster.agent_env("mixed", MEZITE_JOIN_TOKEN=token)},
                              capture_output=True, timeout=patience())
        assert done.returncode != 0 and b"not a join token" in done.stderr


# A machine that does not keep to the rules.

class Machine:
    def __init__(self, cloud, tmp, name: str = "hostile"):
        messages = [str(path) for path in (ROOT / "proto/mezite/v1").glob("*.proto")]
        subprocess.run(["protoc", f"-I{ROOT}/proto", f"--python_out={tmp}", *messages], check=True)
        if str(tmp) not in sys.path:
            sys.path.insert(0, str(tmp))
        from mezite.v1 import agent_pb2
        self.pb, self.cloud, self.name = agent_pb2, cloud, name
        pem = cloud.cluster.mezctl("ca", "export", "--type=host", "--format=x509").encode()
        self.channel = grpc.secure_channel(f"127.0.0.1:{cloud.cluster.grpc}", grpc.ssl_channel_credentials(pem))
        self.machine = cloud.sts.machine(name)
        self.token = iam_token(cloud.cluster)
        self.request = self.join_request()

    def call(self, method: str, request, answer):
        return self.channel.unary_unary(f"/mezite.v1.AgentService/{method}", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=answer.FromString)(request, timeout=30)

    def challenge(self):
        return self.call("GetJoinChallenge", self.pb.GetJoinChallengeRequest(), self.pb.JoinChallenge)

    def join_request(self) -> bytes:
        ssh_key = ed25519.Ed25519PrivateKey.generate().public_key()
        tls_key = ec.generate_private_key(ec.SECP256R1()).public_key()
        return self.pb.JoinRequest(
            token=self.token["token"], node_name=self.name, hostname=self.name, version="1",
            ssh_public_key=ssh_key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode(),
            tls_public_key_der=tls_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        ).SerializeToString()

    def statement(self, challenge: str) -> str:
        return f"{challenge} {self.cloud.cluster.pin().removeprefix('sha256:')} {hashlib.sha256(self.request).hexdigest()}"

    def sign(self, statement: str, host: str | None = None, body: str = BODY, extra: dict | None = None):
        """By another implementation than ours."""
        host = host or self.cloud.sts.host
        given = AWSRequest("POST", f"http://{host}/", data=body.encode(),
                           headers={"Content-Type": CONTENT_TYPE, "Host": host, "X-Mezite-Join": statement, **(extra or {})})
        SigV4Auth(Credentials(self.machine["AWS_ACCESS_KEY_ID"], self.machine["AWS_SECRET_ACCESS_KEY"]), "sts",
                  self.cloud.sts.region).add_auth(given)
        return {k.lower(): v for k, v in given.headers.items()}

    def join(self, headers: dict | list, method="POST", path="/", body=BODY, request: bytes | None = None):
        pairs = headers.items() if isinstance(headers, dict) else headers
        sts = self.pb.SignedStsRequest(method=method, path=path, body=body,
                                       headers=[self.pb.HttpHeader(name=k, value=v) for k, v in pairs])
        return self.call("JoinWithIam", self.pb.IamJoinRequest(request=request or self.request, sts=sts), self.pb.JoinResponse)

    def refused(self, *args, **named) -> str:
        before = len(self.cloud.sts.requests)
        with pytest.raises(grpc.RpcError) as error:
            self.join(*args, **named)
        assert len(self.cloud.sts.requests) == before, "nothing that is not in order is sent to STS"
        rejected(self.cloud.cluster, self.name, error.value.details()[:40])
        return error.value.details()


@pytest.fixture(scope="module")
def machine(cloud, tmp_path_factory):
    return Machine(cloud, tmp_path_factory.mktemp("pb"))


def test_another_signer_joins_and_its_challenge_works_once(cloud, machine):
    headers = machine.sign(machine.statement(machine.challenge().challenge))
    assert machine.join(headers).cluster_name == "test.mezite"
    assert "used already" in machine.refused(headers)


def test_a_challenge_that_the_hub_never_gave(machine):
    assert "gave no such challenge" in machine.refused(machine.sign(machine.statement("A" * 43)))


def test_a_challenge_that_is_not_signed(machine):
    statement = machine.statement(machine.challenge().challenge)
    headers = machine.sign(statement)
    unsigned = machine.sign("x")
    # Signed without the header, which is added afterwards.
    given = AWSRequest("POST", machine.cloud.sts.url + "/", data=BODY.encode(), headers={"Content-Type": CONTENT_TYPE, "Host": machine.cloud.sts.host})
    SigV4Auth(Credentials(machine.machine["AWS_ACCESS_KEY_ID"], machine.machine["AWS_SECRET_ACCESS_KEY"]), "sts", machine.cloud.sts.region).add_auth(given)
    bare = {k.lower(): v for k, v in given.headers.items()}
    assert "x-mezite-join is not signed" in machine.refused({**bare, "x-mezite-join": statement})
    assert "no header x-mezite-join" in machine.refused({k: v for k, v in headers.items() if k != "x-mezite-join"})
    # Signed with another value: only STS can tell.
    with pytest.raises(grpc.RpcError) as error:
        machine.join({**unsigned, "x-mezite-join": statement})
    assert "InvalidSignatureException" in error.value.details()


def test_a_request_for_somebody_elses_server(cloud, machine):
    """Server-side request forgery: the hub calls the STS that it is configured with, whatever the request says."""
    trap = StsStandIn(cloud.sts.region)
    try:
        statement = machine.statement(machine.challenge().challenge)
        assert "this hub asks" in machine.refused(machine.sign(statement, host=trap.host))
        headers = machine.sign(statement)
        for path in ("//" + trap.host + "/", trap.url + "/", "/../", "/?Action=AssumeRole", "@" + trap.host):
            assert "path" in machine.refused(headers, path=path)
        assert "header x-forwarded-host" in machine.refused({**headers, "x-forwarded-host": trap.host})
        assert "host twice" in machine.refused([*headers.items(), ("host", trap.host)])
        assert "not plain" in machine.refused({**headers, "x-amz-date": "20260101T000000Z\r\nHost: " + trap.host})
        assert not trap.requests
    finally:
        trap.close()


@pytest.mark.parametrize("change,text", [
    ({"body": "Action=AssumeRole&Version=2011-06-15"}, "body"),
    ({"body": BODY + "&x=1"}, "body"),
    ({"body": ""}, "body"),
    ({"method": "GET"}, "method"),
])
def test_a_request_for_something_else(machine, change, text):
    assert text in machine.refused(machine.sign(machine.statement(machine.challenge().challenge)), **change)


def test_headers_that_nobody_asked_for(machine):
    statement = machine.statement(machine.challenge().challenge)
    assert "expect" in machine.refused(machine.sign(statement, extra={"Expect": "100-continue"}))
    assert "too many headers" in machine.refused({**machine.sign(statement), **{f"x-{i}": "1" for i in range(9)}})
    assert "too long" in machine.refused({**machine.sign(statement), "x-amz-security-token": "A" * 5000})


def test_what_was_signed_for_other_keys_or_another_cluster(machine):
    headers = machine.sign(machine.statement(machine.challenge().challenge))
    assert "another node or other keys" in machine.refused(headers, request=machine.join_request())
    challenge = machine.challenge().challenge
    elsewhere = f"{challenge} {'0' * 64} {hashlib.sha256(machine.request).hexdigest()}"
    assert "another cluster" in machine.refused(machine.sign(elsewhere))


def test_a_token_that_was_removed_or_never_was(machine):
    made = iam_token(machine.cloud.cluster)
    machine.cloud.cluster.mezctl("tokens", "rm", made["id"])
    request = machine.pb.JoinRequest.FromString(machine.request)
    for token in (made["token"], "0" * 12, ""):
        request.token = token
        wire = request.SerializeToString()
        statement = f"{machine.challenge().challenge} {machine.cloud.cluster.pin().removeprefix('sha256:')} {hashlib.sha256(wire).hexdigest()}"
        assert "not known here" in machine.refused(machine.sign(statement), request=wire)
