"""Who may not, does not; and the audit log says why."""
import json
import re
import subprocess

import pytest

from harness.wait import until


@pytest.fixture(scope="module")
def strict(cluster):
    cluster.start_agent("db-01", labels="env=prod,sensitivity=restricted")
    cluster.role("ops", {"node_labels": {"env": ["dev", "prod"]}, "logins": [cluster.login]}, deny={"node_labels": {"sensitivity": "restricted"}})
    cluster.user("oscar", "ops")
    cluster.login_as("oscar")
    return cluster


def denied(done) -> str:
    assert done.returncode == 255, (done.returncode, done.stdout, done.stderr)
    return done.stderr.decode(errors="replace")


def denial(cluster, match) -> dict:
    return cluster.wait_audit("access.denied", match)


def test_login_not_in_roles(strict):
    text = denied(strict.ssh("alice", "web-01", "true", login="root", check=False, options=("-o", "LogLevel=INFO")))
    event = denial(strict, lambda e: e["user_name"] == "alice" and e["resource_name"] == "web-01" and "root" in e["error_message"] + str(e["details"]))
    assert not event["success"] and event["event_code"].startswith("T4") and event["client_ip"] == "127.0.0.1"
    assert event["id"] in text, "the user's message carries the id of the event"
    assert "developer" not in text, "the reason is for admins only"


def test_label_does_not_match(strict):
    denied(strict.ssh("alice", "db-01", "true", check=False))
    denial(strict, lambda e: e["user_name"] == "alice" and e["resource_name"] == "db-01")
    done = strict.msh("ssh", f"{strict.login}@db-01", "true", check=False)
    denied(done)


def test_deny_overrides_allow(strict):
    assert strict.ssh("oscar", "web-01", "echo in").strip() == "in"
    denied(strict.ssh("oscar", "db-01", "true", check=False))
    denial(strict, lambda e: e["user_name"] == "oscar" and e["resource_name"] == "db-01")


def test_explain_says_what_enforcement_did(strict):
    text = strict.mezctl("roles", "explain", "--user=oscar", "--node=db-01", f"--login={strict.login}", check=False).stdout.decode()
    assert "sensitivity" in text and re.search(r"(?i)denied", text)
    text = strict.mezctl("roles", "explain", "--user=oscar", "--node=web-01", f"--login={strict.login}", check=False).stdout.decode()
    assert re.search(r"(?i)allowed", text)


def make_certificate(cluster, name, *sign_options):
    """A user certificate by a CA that the cluster has never seen."""
    key = cluster.dir / f"id-{name}"
    ca = cluster.dir / "foreign-ca"
    if not ca.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ca], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run(["ssh-keygen", "-q", "-s", ca, "-I", "alice", "-n", cluster.login, *sign_options, f"{key}.pub"], check=True)
    return key


def test_foreign_certificate(strict):
    key = make_certificate(strict, "foreign")
    denied(strict.ssh("alice", "web-01", "true", identity=key, check=False))
    event = denial(strict, lambda e: "foreign" in str(e["details"]) + e["error_message"] or "unknown" in e["error_message"])
    assert event["client_ip"] == "127.0.0.1"


def test_expired_certificate(strict):
    strict.role("brief", {"node_labels": {"*": "*"}, "logins": [strict.login]}, options={"max_session_ttl": "2s"})
    strict.user("brenda", "brief")
    strict.login_as("brenda")  # the identity for stock ssh first, that of msh after it

    until(lambda: json.loads(strict.msh("status", "--format=json", user="brenda", check=False).stdout).get("expired"), "the certificate to expire")
    denied(strict.ssh("brenda", "web-01", "true", check=False))
    event = denial(strict, lambda e: "expired" in e["error_message"])
    assert event["user_name"] == "brenda"
    done = strict.msh("ssh", f"{strict.login}@web-01", "true", user="brenda", check=False)
    assert done.returncode == 255 and b"msh login" in done.stderr
    assert "expired" in strict.msh("status", user="brenda", check=False).stdout.decode().lower()


def test_key_without_certificate(strict):
    key = strict.dir / "id-bare"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (strict.dir / "id-bare-cert.pub").write_text("")
    denied(strict.ssh("alice", "web-01", "true", identity=key, check=False))


def test_role_change_is_in_force_at_once(strict):
    strict.role("shortlived", {"node_labels": {"env": "dev"}, "logins": [strict.login]})
    strict.user("susan", "shortlived")
    strict.login_as("susan")
    assert strict.ssh("susan", "web-01", "echo in").strip() == "in"
    strict.role("shortlived", {"node_labels": {"env": "elsewhere"}, "logins": [strict.login]})
    denied(strict.ssh("susan", "web-01", "true", check=False))


def test_another_users_name_on_the_jump_host(strict):
    """The outer user name must be the certificate's: alice's key cannot enter as oscar."""
    denied(strict.ssh("oscar", "web-01", "true", identity=strict.dir / "id-alice", check=False))


class TestNothingButNodesOn3023:
    """Teleport GHSA-c9v7, GHSA-hw4x: shells, commands, files and free addresses on the proxy's own port."""

    def front(self, cluster, *arguments, options=()):
        argv = ["ssh", "-F", str(cluster.ssh_config("alice", cluster.dir / "id-alice")), *options, "-p", str(cluster.ssh_port), "alice@127.0.0.1", *arguments]
        return cluster.run(argv, check=False)

    def test_shell_and_exec(self, strict):
        assert self.front(strict, "id").returncode == 255
        assert self.front(strict).returncode == 255

    def test_subsystem(self, strict):
        assert self.front(strict, "sftp", options=("-s",)).returncode == 255

    @pytest.mark.parametrize("target", ["127.0.0.1:{grpc}", "localhost:22", "web-01:80", "169.254.169.254:80", "[::1]:{grpc}"])
    def test_free_address(self, strict, target):
        done = self.front(strict, options=("-W", target.format(grpc=strict.grpc)))
        assert done.returncode != 0 and done.stdout == b""

    def test_remote_forward(self, strict):
        done = self.front(strict, options=("-N", "-R", "0:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"))
        assert done.returncode == 255

    def test_unknown_node(self, strict):
        done = strict.ssh("alice", "no-such-node", "true", check=False)
        assert done.returncode == 255
        denial(strict, lambda e: e["resource_name"] == "no-such-node")
        done = strict.msh("ssh", f"{strict.login}@no-such-node", "true", check=False)
        assert done.returncode == 255 and b"msh ls" in done.stderr


def test_pinned_certificate_from_another_address(strict):
    """T4001W: the certificate is good, the address is not."""
    strict.role("pinned", {"node_labels": {"*": "*"}, "logins": [strict.login]}, options={"pin_source_ip": True})
    strict.user("petra", "pinned")
    strict.login_as("petra")
    assert strict.ssh("petra", "web-01", "echo in").strip() == "in"
    jump = ["ssh", "-F", str(strict.ssh_config("petra", strict.dir / "id-petra")), "-b", "127.0.0.2", "-p", str(strict.ssh_port), "-W", "web-01:22", "petra@127.0.0.1"]
    done = strict.run(jump, check=False)
    assert done.returncode == 255
    event = denial(strict, lambda e: e["event_code"] == "T4001W")
    assert event["user_name"] == "petra" and event["client_ip"] == "127.0.0.2"
