"""Certificates that are revoked before their time: refused by agents and hub at once, and by a stock sshd."""
import json
import re
import subprocess

import pytest

from harness.ports import free_port
from harness.process import Process
from harness.wait import until


def serial_of(cluster, identity) -> str:
    shown = cluster.run(["ssh-keygen", "-L", "-f", f"{identity}-cert.pub"])
    return re.search(r"Serial: (\d+)", shown)[1]


def revocations(cluster) -> list[dict]:
    return json.loads(cluster.mezctl("ca", "revocations", "--format=json"))


@pytest.fixture
def bob(cluster):
    cluster.user("bob", "developer")
    identity = cluster.login_as("bob")
    assert cluster.ssh("bob", "web-01", "echo", "in") == "in\n"
    yield identity
    for one in revocations(cluster):
        cluster.mezctl("ca", "unrevoke", one["id"])
    cluster.mezctl("users", "delete", "bob")


def test_a_serial_number_is_refused_at_once_and_a_new_login_is_not(cluster, bob):
    session = subprocess.Popen(cluster.ssh_argv("bob", "web-01", "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    session.stdin.write(b"before\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"before\n"
    cluster.mezctl("ca", "revoke", f"--serial={serial_of(cluster, bob)}", "--reason=laptop lost")
    assert [r["user"] for r in revocations(cluster)] == ["bob"]
    # The hub refuses it, and says why.
    refused = cluster.ssh("bob", "web-01", "true", check=False)
    assert refused.returncode == 255 and b"this certificate was revoked; log in again: msh login" in refused.stderr
    event = cluster.wait_audit("access.denied", lambda e: e["event_code"] == "T4019W" and e["user_name"] == "bob")
    assert event["details"]["reason"] == "revoked"
    # What runs goes on.
    session.stdin.write(b"after\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"after\n"
    session.stdin.close()
    assert session.wait(30) == 0
    # msh has another certificate, which is good; revoked, the node refuses it (the hub sees no certificate of msh).
    assert cluster.msh("ssh", f"{cluster.login}@web-01", "echo", "in", user="bob") == "in\n"
    kept = next((cluster.dir / "msh-bob").glob("*/id"))
    cluster.mezctl("ca", "revoke", f"--serial={serial_of(cluster, kept)}")
    refused = cluster.msh("ssh", f"{cluster.login}@web-01", "true", user="bob", check=False)
    assert refused.returncode == 255 and b"revoked" in refused.stderr, refused
    cluster.wait_audit("access.denied", lambda e: e["event_code"] == "T4019W" and e["server_hostname"] == "web-01")
    cluster.login_as("bob")
    assert cluster.ssh("bob", "web-01", "echo", "in") == "in\n"
    assert cluster.audit("--type=cert.revoked")[0]["details"]["serials"]


def test_all_of_a_user_and_a_key_id(cluster, bob):
    revoked = json.loads(cluster.mezctl("ca", "revoke", "--user=bob", "--format=json"))
    assert {r["user"] for r in revoked} == {"bob"} and len(revoked) >= 2
    assert cluster.ssh("bob", "web-01", "true", check=False).returncode == 255
    cluster.login_as("bob")
    assert cluster.ssh("bob", "web-01", "echo", "in") == "in\n"
    # A key id is for good: also what is issued later, until the revocation is lifted.
    made = json.loads(cluster.mezctl("ca", "revoke", "--key-id=bob", "--format=json"))
    cluster.login_as("bob")
    assert cluster.ssh("bob", "web-01", "true", check=False).returncode == 255
    cluster.mezctl("ca", "unrevoke", made[0]["id"])
    assert cluster.ssh("bob", "web-01", "echo", "in") == "in\n"
    nobody = cluster.mezctl("ca", "revoke", "--user=nobody", check=False)
    assert nobody.returncode == 1 and b"holds no certificate" in nobody.stderr
    for wrong, code in (([], 2), (["--serial=1", "--user=bob"], 2), (["--serial=x"], 1), (["--serial=0"], 1)):
        assert cluster.mezctl("ca", "revoke", *wrong, check=False).returncode == code, wrong


def test_the_revocation_list_works_for_stock_ssh_keygen_and_sshd(cluster, bob, tmp_path):
    krl = tmp_path / "krl"
    krl.write_bytes(cluster.mezctl("ca", "export", "--format=krl", check=False).stdout)
    query = lambda: cluster.run(["ssh-keygen", "-Q", "-f", krl, f"{bob}-cert.pub"], check=False)
    assert query().returncode == 0
    ca = tmp_path / "ca.pub"
    ca.write_text(cluster.mezctl("ca", "export", "--type=user", "--format=openssh"))
    cluster.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "host"])
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nTrustedUserCAKeys {ca}\nRevokedKeys {krl}\n"
        f"AuthorizedKeysFile none\nUsePAM no\nStrictModes no\nPidFile none\nLogLevel VERBOSE\n")
    server = Process("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", tmp_path / "sshd_config"], tmp_path / "sshd.log")
    login = lambda: cluster.run(["ssh", "-F", "none", "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                                 "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", bob,
                                 "-o", f"CertificateFile={bob}-cert.pub", f"{cluster.login}@127.0.0.1", "echo", "in"], check=False)
    try:
        until(lambda: "Server listening" in server.output(), "sshd to listen")
        assert login().stdout == b"in\n", server.output()
        cluster.mezctl("ca", "revoke", f"--serial={serial_of(cluster, bob)}")
        krl.write_bytes(cluster.mezctl("ca", "export", "--format=krl", check=False).stdout)
        refused = query()
        assert refused.returncode != 0 and b"REVOKED" in refused.stdout
        assert login().returncode == 255
        assert "revoked" in server.output()
        other = cluster.run(["ssh-keygen", "-Q", "-f", krl, f"{cluster.dir}/id-alice-cert.pub"], check=False)
        assert other.returncode == 0, other
        cluster.mezctl("ca", "revoke", "--key-id=alice")
        krl.write_bytes(cluster.mezctl("ca", "export", "--format=krl", check=False).stdout)
        assert cluster.run(["ssh-keygen", "-Q", "-f", krl, f"{cluster.dir}/id-alice-cert.pub"], check=False).returncode != 0
        assert "serial" in cluster.run(["ssh-keygen", "-Q", "-l", "-f", krl], check=False).stdout.decode()
    finally:
        server.stop()
