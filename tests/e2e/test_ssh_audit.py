"""What ssh-audit says of the two SSH servers. It knows nothing newer than 2021: each finding that is let pass is judged
here, and any other fails."""
import re
import shutil
import socket
import subprocess
import threading

import pytest

# algorithm (a pattern) -> what ssh-audit says of it (a pattern), and why that is no weakness.
JUDGED = [
    (r"ecdh-sha2-nistp\d+|ecdsa-sha2-nistp\d+.*", r"using weak elliptic curves", "NIST curves are what FIPS machines have; no attack is known"),
    (r"ecdsa-sha2-nistp\d+.*", r"using weak random number generator could reveal the key", "true of any ECDSA; ours comes from OpenSSL's generator"),
    (r"(mlkem768x25519|sntrup761x25519)-.*", r"using unknown algorithm|unknown algorithm|experimental algorithm", "post-quantum hybrids that are newer than ssh-audit"),
    (r".*-cert-v01@openssh\.com|sk-.*", r"unknown algorithm", "a certificate or FIDO form that is newer than ssh-audit"),
    (r"kex-strict-s-v00@openssh\.com", r"unknown algorithm", "the marker of strict KEX, against Terrapin"),
    (r"hmac-sha2-(256|512)", r"using encrypt-and-MAC mode", "for peers that know no AEAD and no ETM; last of the list"),
    (r"rsa-sha2-(256|512).*", r"using small 2048-bit modulus|2048-bit modulus", "the least that is taken"),
    (r"chacha20-poly1305@openssh\.com|.*-etm@openssh\.com", r"vulnerable to the Terrapin attack", "only without strict KEX, which is offered"),
]


def findings(port: int) -> list[tuple[str, str, str]]:
    """(algorithm, level, text) of all that is worse than information."""
    done = subprocess.run(["ssh-audit", "-n", "-b", "-v", "-t", "20", "-p", str(port), "127.0.0.1"], capture_output=True, text=True, timeout=180)
    assert "(gen) banner: SSH-2.0-Mezite" in done.stdout, done.stdout + done.stderr
    found, algorithm = [], ""
    for line in done.stdout.splitlines():
        entry = re.match(r"\((?:kex|key|enc|mac)\)\s+(\S+)", line)
        if entry:
            algorithm = entry[1]
        elif not line.startswith(" "):
            algorithm = line.strip()
        judged = re.search(r"\[(warn|fail)\]\s*(.*)", line)
        if judged:
            found.append((algorithm, judged[1], judged[2]))
    return found


def unexpected(found) -> list:
    return [one for one in found if not any(re.fullmatch(a, one[0]) and re.search(t, one[2]) for a, t, _ in JUDGED)]


@pytest.fixture(scope="module", autouse=True)
def audit_tool():
    assert shutil.which("ssh-audit"), "scripts/install_packages.sh test installs it"


def test_the_judgement_can_fail():
    assert unexpected([("diffie-hellman-group1-sha1", "fail", "removed (in server) since OpenSSH 6.7")])
    assert unexpected([("ssh-rsa", "fail", "using weak hashing algorithm")])
    assert unexpected([("curve25519-sha256", "warn", "using weak elliptic curves")])
    assert not unexpected([("ecdh-sha2-nistp256", "fail", "using weak elliptic curves")])


@pytest.mark.parametrize("which", ["ssh_port", "tunnel"])
def test_the_hub(cluster, which):
    assert unexpected(findings(getattr(cluster, which))) == []


def test_the_agent(cluster):
    """The agent's server is behind the hub: each connection of ssh-audit goes through a tunnel of its own."""
    identity = cluster.dir / "id-alice"
    argv = ["ssh", "-F", str(cluster.ssh_config("alice", identity)), "-W", "web-01:22", "-p", str(cluster.ssh_port), "alice@127.0.0.1"]
    listener = socket.create_server(("127.0.0.1", 0))
    children = []

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                children.append(subprocess.Popen(argv, stdin=client, stdout=client, stderr=subprocess.DEVNULL))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert unexpected(findings(listener.getsockname()[1])) == []
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for child in children:
            child.terminate()
            child.wait()
