"""The SPIFFE Workload API of a node, asked by processes of several users and programs with stock gRPC."""
import base64
import calendar
import grp
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from harness.cluster import Cluster
from harness.wait import patience, until

HARNESS = Path(__file__).resolve().parents[1] / "harness"
PYTHON = os.path.realpath("/usr/bin/python3")
DOMAIN = "spiffe://test.mezite"
NOBODY = 65534

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can be several users")


class Node:
    """A cluster with one node that serves the Workload API, and processes that ask it."""

    def __init__(self, env: dict | None = None):
        self.cluster = Cluster(env=env)
        self.socket = self.cluster.dir / "run" / "workload.sock"
        self.cluster.start_agent("web-01", MEZITE_WORKLOAD_API_SOCKET=str(self.socket))
        self.folder = self.cluster.dir / "client"
        self.folder.mkdir(mode=0o755)
        subprocess.run(["protoc", f"-I{HARNESS}", f"--python_out={self.folder}", "workload_api.proto"], check=True)
        shutil.copy(HARNESS / "workload_client.py", self.folder)
        for file in self.folder.iterdir():
            file.chmod(0o644)

    def argv(self, method: str, request: dict | None, header: str, python: str) -> list[str]:
        return [python, str(self.folder / "workload_client.py"), str(self.folder), str(self.socket), header, method, json.dumps(request or {})]

    def ask(self, method: str, request: dict | None = None, header: str = "true", uid: int | None = None, gid: int | None = None, python: str = PYTHON):
        """The first answer, or the error."""
        with Process(self, method, request, header, uid, gid, python) as process:
            return process.next()

    def register(self, path: str, *selectors: str, more: tuple = ()) -> dict:
        made = self.cluster.mezctl("workload-identity", "create", path, *(f"--selector={s}" for s in selectors), "--format=json", *more)
        return json.loads(made)

    def registered(self, *paths: str, **who):
        """Waits until these are what a process gets."""
        def seen():
            answer = self.ask("FetchX509SVID", **who)
            return [s["spiffe_id"] for s in answer.get("svids", [])] == [DOMAIN + p for p in paths]
        until(seen, f"{paths} to be given")

    def remove(self, name: str):
        self.cluster.mezctl("workload-identity", "rm", name)


class Process:
    """A workload that keeps its call open."""

    def __init__(self, node: Node, method: str, request=None, header: str = "true", uid=None, gid=None, python: str = PYTHON):
        who = {} if uid is None else {"user": uid, "group": gid if gid is not None else uid, "extra_groups": []}
        self.child = subprocess.Popen(node.argv(method, request, header, python), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={**os.environ, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1", "GRPC_ENABLE_FORK_SUPPORT": "0"}, **who)
        self.lines: queue.Queue = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self, timeout: float | None = None):
        got = self.lines.get(timeout=timeout or patience())
        assert got is not None, self.child.stderr.read().decode()
        return got

    def quiet(self) -> bool:
        return self.lines.empty()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()
        self.child.stderr.close()


@pytest.fixture(scope="module")
def node():
    made = Node()
    try:
        yield made
    except BaseException:
        print(made.cluster.agents["web-01"].output()[-4000:])
        raise
    finally:
        made.cluster.close()


def leaf_of(svid: dict) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(svid["x509_svid"]))


def openssl_verify(svid: dict, bundle_der: bytes, folder: Path) -> subprocess.CompletedProcess:
    """The chain as openssl sees it, with every certificate of the bundle as a root."""
    leaf, roots = folder / "leaf.pem", folder / "roots.pem"
    leaf.write_bytes(leaf_of(svid).public_bytes(Encoding.PEM))
    pem = b""
    while bundle_der:
        length = 4 + int.from_bytes(bundle_der[2:4], "big")  # SEQUENCE, long form of two bytes
        pem += x509.load_der_x509_certificate(bundle_der[:length]).public_bytes(Encoding.PEM)
        bundle_der = bundle_der[length:]
    roots.write_bytes(pem)
    return subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", str(roots), str(leaf)], capture_output=True, text=True)


def good_svid(svid: dict, folder: Path):
    done = openssl_verify(svid, base64.b64decode(svid["bundle"]), folder)
    assert done.returncode == 0, done.stderr
    leaf = leaf_of(svid)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [svid["spiffe_id"]]
    key = load_der_private_key(base64.b64decode(svid["x509_svid_key"]), None)
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_key().public_bytes(*spki) == leaf.public_key().public_bytes(*spki)


def me() -> str:
    return f"unix:uid:{os.getuid()}"


def test_a_workload_gets_what_is_registered_for_it(node, tmp_path):
    made = node.register("/api", me(), f"unix:path:{PYTHON}", "node:name:web-01", "node:label:env=dev", more=("--dns=api.example", "--hint=outside"))
    node.registered("/api")
    answer = node.ask("FetchX509SVID")
    assert [s["spiffe_id"] for s in answer["svids"]] == [f"{DOMAIN}/api"]
    assert answer["crl"] == [] and answer["federated_bundles"] == {}
    good_svid(answer["svids"][0], tmp_path)
    assert answer["svids"][0]["hint"] == "outside"
    names = leaf_of(answer["svids"][0]).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["api.example"]
    bundles = node.ask("FetchX509Bundles")["bundles"]
    assert bundles == {DOMAIN: answer["svids"][0]["bundle"]}
    event = node.cluster.wait_audit("workload.svid.issued", lambda e: e["resource_name"] == f"{DOMAIN}/api")
    assert event["server_hostname"] == "web-01" and event["details"]["registration"] == made["id"]
    node.remove(made["id"])


def test_tokens_are_fetched_and_checked(node):
    made = node.register("/tokens", me(), more=("--jwt-audience=orders", "--jwt-audience=stock", "--jwt-ttl=1m"))
    node.registered("/tokens")
    [svid] = node.ask("FetchJWTSVID", {"audience": ["orders"]})["svids"]
    assert svid["spiffe_id"] == f"{DOMAIN}/tokens"
    bundles = node.ask("FetchJWTBundles")["bundles"]
    assert list(bundles) == [DOMAIN]
    keys = json.loads(base64.b64decode(bundles[DOMAIN]))["keys"]
    assert {k["use"] for k in keys} == {"jwt-svid"}
    key = jwt.PyJWKSet(keys)[jwt.get_unverified_header(svid["svid"])["kid"]]
    claims = jwt.decode(svid["svid"], key.key, algorithms=["ES256"], audience="orders")
    assert claims["sub"] == f"{DOMAIN}/tokens" and claims["exp"] - claims["iat"] == 60
    # The hub's own document has the same key.
    document = json.loads(node.cluster.get("/v1/webapi/spiffe/bundle.json")[1])
    assert keys == [k for k in document["keys"] if k["use"] == "jwt-svid"]

    good = node.ask("ValidateJWTSVID", {"audience": "orders", "svid": svid["svid"]})
    assert good["spiffe_id"] == f"{DOMAIN}/tokens" and good["claims"]["aud"] == ["orders"]
    for request in ({"audience": "stock", "svid": svid["svid"]}, {"audience": "orders", "svid": svid["svid"][:-4] + "AAAA"},
                    {"audience": "orders", "svid": "a.b.c"}, {"audience": "orders"}, {"svid": svid["svid"]}):
        assert node.ask("ValidateJWTSVID", request)["code"] == "INVALID_ARGUMENT", request

    both = node.ask("FetchJWTSVID", {"audience": ["stock", "orders"], "spiffe_id": f"{DOMAIN}/tokens"})["svids"][0]["svid"]
    assert sorted(jwt.decode(both, options={"verify_signature": False})["aud"]) == ["orders", "stock"]
    assert node.ask("FetchJWTSVID", {"audience": []})["code"] == "INVALID_ARGUMENT"
    assert node.ask("FetchJWTSVID", {"audience": ["orders"], "spiffe_id": "tokens"})["code"] == "INVALID_ARGUMENT"
    assert node.ask("FetchJWTSVID", {"audience": ["orders"], "spiffe_id": f"{DOMAIN}/other"})["code"] == "PERMISSION_DENIED"
    assert node.ask("FetchJWTSVID", {"audience": ["bank"]})["code"] == "PERMISSION_DENIED"
    node.remove(made["id"])


CALLS = [("FetchX509SVID", {}), ("FetchX509Bundles", {}), ("FetchJWTSVID", {"audience": ["a"]}), ("FetchJWTBundles", {}),
         ("ValidateJWTSVID", {"audience": "a", "svid": "a.b.c"})]


@pytest.mark.parametrize("method, request_", CALLS)
def test_a_process_that_nothing_is_registered_for_gets_nothing(node, method, request_):
    refused = node.ask(method, request_)
    assert refused["code"] == "PERMISSION_DENIED" and "registered" in refused["details"]
    event = node.cluster.wait_audit("workload.denied")
    assert event["success"] is False and event["server_hostname"] == "web-01"
    assert event["details"]["uid"] == os.getuid() and event["details"]["path"] == PYTHON


@pytest.mark.parametrize("method, request_", CALLS)
@pytest.mark.parametrize("header", ["-", "false", "True", "true,true"])
def test_a_call_without_the_header_is_refused(node, method, request_, header):
    made = node.register("/header", me())
    node.registered("/header")
    refused = node.ask(method, request_, header=header)
    assert refused["code"] == "INVALID_ARGUMENT" and "workload.spiffe.io" in refused["details"]
    node.remove(made["id"])


def test_another_program_is_another_workload(node):
    copy = node.folder / "python"
    shutil.copy(PYTHON, copy)
    link = node.folder / "link"
    link.symlink_to(copy)
    mine = node.register("/stock-python", me(), f"unix:path:{PYTHON}")
    theirs = node.register("/other-python", me(), f"unix:path:{copy}")
    node.registered("/stock-python")
    node.registered("/other-python", python=str(copy))
    node.registered("/other-python", python=str(link))  # what runs counts, not what it was called by
    for one in (mine, theirs):
        node.remove(one["id"])


@root_only
def test_another_user_is_another_workload(node):
    group = grp.getgrgid(NOBODY).gr_name
    for selector in (f"unix:uid:{NOBODY}", "unix:user:nobody", f"unix:gid:{NOBODY}", f"unix:group:{group}"):
        made = node.register("/nobody", selector)
        node.registered("/nobody", uid=NOBODY)
        assert node.ask("FetchX509SVID")["code"] == "PERMISSION_DENIED", selector
        assert node.ask("FetchX509SVID", uid=1, gid=1)["code"] == "PERMISSION_DENIED", selector
        node.remove(made["id"])
        until(lambda: node.ask("FetchX509SVID", uid=NOBODY).get("code") == "PERMISSION_DENIED", "the removal to be known")
    # All selectors must hold: the right user with the wrong group is nobody.
    made = node.register("/both", f"unix:uid:{NOBODY}", f"unix:gid:{NOBODY}")
    node.registered("/both", uid=NOBODY)
    assert node.ask("FetchX509SVID", uid=NOBODY, gid=1)["code"] == "PERMISSION_DENIED"
    node.remove(made["id"])


def test_a_registration_for_another_node_is_not_given(node):
    elsewhere = [node.register("/elsewhere", me(), "node:name:db-01"), node.register("/prod", me(), "node:label:env=prod")]
    here = node.register("/here", me())
    node.registered("/here")
    for one in (*elsewhere, here):
        node.remove(one["id"])


def test_an_open_call_is_told_of_every_change(node, tmp_path):
    first = node.register("/first", me())
    node.registered("/first")
    with Process(node, "FetchX509SVID") as stream:
        assert [s["spiffe_id"] for s in stream.next()["svids"]] == [f"{DOMAIN}/first"]
        second = node.register("/a-second", me(), more=("--hint=x",))
        both = stream.next()["svids"]
        # The oldest stays the default.
        assert [s["spiffe_id"] for s in both] == [f"{DOMAIN}/first", f"{DOMAIN}/a-second"]
        for svid in both:
            good_svid(svid, tmp_path)
        node.remove(first["id"])
        assert [s["spiffe_id"] for s in stream.next()["svids"]] == [f"{DOMAIN}/a-second"]
        node.remove(second["id"])
        assert stream.next()["code"] == "PERMISSION_DENIED"


def test_svids_are_renewed_before_they_end(node, tmp_path):
    made = node.register("/short", me(), more=("--x509-ttl=10s",))
    node.registered("/short")
    with Process(node, "FetchX509SVID") as stream:
        seen = []
        for _ in range(3):
            seen.append(stream.next()["svids"][0])
            good_svid(seen[-1], tmp_path)
            if len(seen) > 1:  # while the one before was good
                assert time.time() < calendar.timegm(leaf_of(seen[-2]).not_valid_after.timetuple())
        assert len({leaf_of(s).serial_number for s in seen}) == len({s["x509_svid_key"] for s in seen}) == 3
    node.remove(made["id"])


def ca(cluster: Cluster) -> dict:
    return next(a for a in json.loads(cluster.mezctl("ca", "status", "--format=json")) if a["type"] == "spiffe")


def test_a_rotation_of_the_spiffe_ca_reaches_open_calls_in_each_phase(tmp_path):
    node = Node()
    try:
        cluster = node.cluster
        node.register("/turning", me())
        node.registered("/turning")

        def certificates(bundle: str) -> list[bytes]:
            der, out = base64.b64decode(bundle), []
            while der:
                length = 4 + int.from_bytes(der[2:4], "big")
                out.append(der[:length])
                der = der[length:]
            return out

        def step(what: str, *more: str):
            cluster.mezctl("ca", what, "--type=spiffe", *more)

        def token() -> str:
            return node.ask("FetchJWTSVID", {"audience": ["a"]})["svids"][0]["svid"]

        with Process(node, "FetchX509SVID") as svids, Process(node, "FetchX509Bundles") as roots, Process(node, "FetchJWTBundles") as keys:
            before = svids.next()["svids"][0]
            [old_root] = certificates(roots.next()["bundles"][DOMAIN])
            old_keys = keys.next()["bundles"][DOMAIN]
            old_token = token()
            good_svid(before, tmp_path)

            step("rotate")  # both are trusted, the old one signs
            with_both = svids.next()["svids"][0]
            assert with_both["x509_svid"] == before["x509_svid"]
            assert certificates(with_both["bundle"]) == certificates(roots.next()["bundles"][DOMAIN])
            assert certificates(with_both["bundle"])[0] == old_root and len(certificates(with_both["bundle"])) == 2
            both_keys = json.loads(base64.b64decode(keys.next()["bundles"][DOMAIN]))["keys"]
            assert len(both_keys) == 2 and both_keys[0] == json.loads(base64.b64decode(old_keys))["keys"][0]
            until(lambda: not ca(cluster)["lagging_nodes"], "the node to catch up")

            step("advance")  # the new one signs
            after = svids.next()["svids"][0]
            assert after["x509_svid"] != before["x509_svid"]
            good_svid(after, tmp_path)
            assert certificates(after["bundle"])[1] == old_root
            new_root = certificates(after["bundle"])[0]
            assert openssl_verify(after, new_root, tmp_path).returncode == 0
            assert openssl_verify(after, old_root, tmp_path).returncode != 0
            assert openssl_verify(before, new_root + old_root, tmp_path).returncode == 0  # nobody is cut off yet
            until(lambda: jwt.get_unverified_header(token())["kid"] == both_keys[1]["kid"], "tokens of the new key")
            assert node.ask("ValidateJWTSVID", {"audience": "a", "svid": old_token})["spiffe_id"] == f"{DOMAIN}/turning"
            until(lambda: not ca(cluster)["lagging_nodes"], "the node to catch up")

            step("rollback")  # and back
            again = svids.next()["svids"][0]
            assert openssl_verify(again, old_root, tmp_path).returncode == 0
            until(lambda: not ca(cluster)["lagging_nodes"], "the node to catch up")
            step("advance")
            alone = svids.next()["svids"][0]
            assert certificates(alone["bundle"]) == [old_root] and alone["x509_svid"] == again["x509_svid"]

            step("rotate")
            until(lambda: ca(cluster)["standby_fingerprint"] and not ca(cluster)["lagging_nodes"], "the node to catch up")
            step("advance")
            until(lambda: not ca(cluster)["lagging_nodes"], "the node to catch up")
            step("advance")  # the old one is gone
            last = until(lambda: next((s for s in [svids.next()["svids"][0]] if len(certificates(s["bundle"])) == 1), None), "the end of the rotation")
            good_svid(last, tmp_path)
            assert certificates(last["bundle"]) != [old_root]
            assert openssl_verify(before, base64.b64decode(last["bundle"]), tmp_path).returncode != 0
            until(lambda: node.ask("ValidateJWTSVID", {"audience": "a", "svid": old_token}).get("code") == "INVALID_ARGUMENT", "the old token to be refused")
    finally:
        node.cluster.close()


def test_a_hub_that_is_away_is_outlived_and_found_again(tmp_path):
    node = Node()
    try:
        node.register("/steady", me(), more=("--x509-ttl=10s",))
        node.registered("/steady")
        with Process(node, "FetchX509SVID") as stream:
            first = stream.next()["svids"][0]
            node.cluster.hub.stop()
            # What is good is given, also to whom asks now.
            assert node.ask("FetchX509SVID")["svids"][0]["spiffe_id"] == f"{DOMAIN}/steady"
            assert node.ask("FetchJWTSVID", {"audience": ["new"]})["code"] == "UNAVAILABLE"
            node.cluster.hub.start()
            node.cluster.wait_healthy()
            renewed = until(lambda: next((s for s in [stream.next()["svids"][0]] if s["x509_svid"] != first["x509_svid"]), None), "a renewal")
            good_svid(renewed, tmp_path)
    finally:
        node.cluster.close()


def test_a_socket_that_cannot_be_is_said_at_start(node):
    taken = node.cluster.dir / "a-file"
    taken.write_text("")
    for path, says in ((str(taken), "is there and is no socket"), ("relative.sock", "MEZITE_WORKLOAD_API_SOCKET"), ("/" + "x" * 120, "107 bytes")):
        env = node.cluster.agent_env("web-02", MEZITE_WORKLOAD_API_SOCKET=path, MEZITE_JOIN_TOKEN=node.cluster.token())
        done = node.cluster.run([node.cluster.agents["web-01"].argv[0]], env=env, check=False)
        assert done.returncode == 1 and says in done.stderr.decode(), done.stderr


def test_a_node_without_the_setting_serves_nothing(node):
    agent = node.cluster.start_agent("db-02")
    assert "workload API" not in agent.output()
