"""A whole Mezite on loopback: one hub, agents, users; and the stock tools pointed at it."""
import getpass
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import urllib.request
import ssl
from pathlib import Path

from .ports import free_port
from .process import REPORTS, Process
from .wait import patience, until

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("MEZITE_BIN", ROOT / "build" / "bin"))
SANITIZED = any(f"/build/{name}/" in f"{BIN}/" for name in ("asan", "tsan"))
PASSPHRASE = "correct horse battery staple"
HMAC_KEY = "6d657a697465207465737420686d6163206b6579202d2d2d2d2d2d2d2d2d2d2d"

# Made once: reading the system's CAs takes longer than a call of the hub's.
ANY_SERVER = ssl.create_default_context()
ANY_SERVER.check_hostname, ANY_SERVER.verify_mode = False, ssl.CERT_NONE


def login_user() -> str:
    """Whom sessions run as: a system user made for the tests where we are root, else ourselves."""
    if os.getuid() != 0:
        return getpass.getuser()
    name = "mezite-test"
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "-r", "-m", "-d", f"/var/tmp/{name}", "-s", "/bin/bash", name], capture_output=True)
        until(lambda: Path(f"/var/tmp/{name}").is_dir(), "the home folder of the test user")
        pwd.getpwnam(name)
    return name


class Cluster:
    def __init__(self, config: dict | None = None, env: dict[str, str] | None = None, start: bool = True):
        self.dir = Path(tempfile.mkdtemp(prefix="mezite-"))
        self.dir.chmod(0o755)
        self.hub_env = {"MEZITE_CA_KEY_PASSPHRASE": PASSPHRASE, "MEZITE_AUDIT_HMAC_KEY": HMAC_KEY, **(env or {})}
        self.web, self.ssh_port, self.tunnel, self.grpc = (free_port() for _ in range(4))
        self.data = self.dir / "hub"
        self.config_file = self.dir / "mezite.yaml"
        self.login = login_user()
        self.agents: dict[str, Process] = {}
        self.hub: Process | None = None
        self.write_config(config or {})
        if start:
            self.start_hub()

    # The hub.

    def write_config(self, more: dict):
        config = {
            "cluster_name": "test.mezite",
            "data_dir": str(self.data),
            "auth": {"listen_addr": f"127.0.0.1:{self.grpc}"},
            "proxy": {
                "listen_addr": f"127.0.0.1:{self.web}",
                "ssh_listen_addr": f"127.0.0.1:{self.ssh_port}",
                "tunnel_listen_addr": f"127.0.0.1:{self.tunnel}",
                "public_addr": f"127.0.0.1:{self.web}",
            },
        }
        for key, value in more.items():
            if isinstance(value, dict):
                config.setdefault(key, {}).update(value)
            else:
                config[key] = value
        self.config_file.write_text(json.dumps(config))  # JSON is YAML

    def start_hub(self):
        self.hub = Process("mezhub", [BIN / "mezhub", f"--config={self.config_file}"], self.dir / "mezhub.log", self.hub_env)
        self.wait_healthy()

    def wait_healthy(self):
        def healthy():
            assert self.hub.running(), f"mezhub ended with {self.hub.child.returncode}:\n{self.hub.output()[-3000:]}"
            try:
                return self.get("/healthz")[0] == 200
            except OSError:
                return False
        until(healthy, "/healthz")

    def restart_hub(self):
        self.hub.stop()
        self.hub.start()
        self.wait_healthy()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{self.web}{path}", timeout=10, context=ANY_SERVER) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def post(self, path: str, body: dict) -> tuple[int, str]:
        request = urllib.request.Request(f"https://127.0.0.1:{self.web}{path}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60, context=ANY_SERVER) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    # Agents.

    def token(self, *more: str) -> str:
        return json.loads(self.mezctl("tokens", "create", "--roles=node", "--ttl=1h", "--format=json", *more))["token"]

    def agent_env(self, name: str, labels: str = "env=dev", **more: str) -> dict[str, str]:
        return {
            "MEZITE_AUTH_ADDR": f"127.0.0.1:{self.grpc}",
            "MEZITE_PROXY_ADDR": f"127.0.0.1:{self.tunnel}",
            "MEZITE_DATA_DIR": str(self.dir / name),
            "MEZITE_NODE_NAME": name,
            "MEZITE_LABELS": labels,
            **more,
        }

    def start_agent(self, name: str = "web-01", labels: str = "env=dev", wait: bool = True, **env: str) -> Process:
        if not (self.dir / name / "agent" / "x509.pem").exists():
            env.setdefault("MEZITE_JOIN_TOKEN", self.token())
        self.agents[name] = Process(f"mezd {name}", [BIN / "mezd"], self.dir / f"{name}.log", self.agent_env(name, labels, **env))
        if wait:
            self.wait_connected(name)
        return self.agents[name]

    def wait_connected(self, name: str):
        def connected():
            agent = self.agents.get(name)
            assert agent is None or agent.running(), f"{agent.name} ended with {agent.child.returncode}:\n{agent.output()[-3000:]}"
            return any(n["name"] == name and n.get("connected") for n in self.nodes())
        until(connected, f"node {name} to be connected")

    def nodes(self) -> list[dict]:
        return json.loads(self.mezctl("nodes", "ls", "--format=json"))

    # The CLIs. check=False gives the CompletedProcess, whatever its status.

    def run(self, argv: list, check: bool = True, stdin: bytes | str | None = None, env: dict | None = None, timeout: float | None = None):
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([str(a) for a in argv], input=data if data is not None else b"", capture_output=True,
                              env={**os.environ, "HOME": str(self.dir), **(env or {})}, timeout=timeout or 2 * patience())
        for report in REPORTS:
            assert report.encode() not in done.stderr, done.stderr.decode(errors="replace")
        if check:
            assert done.returncode == 0, f"{argv} -> {done.returncode}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
            return done.stdout.decode(errors="replace")
        return done

    def mezctl(self, *arguments, **options):
        """As root of the hub's machine, through the local socket."""
        return self.run([BIN / "mezctl", f"--socket={self.data}/admin.sock", *arguments], **options)

    def msh(self, *arguments, user: str = "alice", **options):
        env = {"MSH_HOME": str(self.dir / f"msh-{user}"), **options.pop("env", {})}
        return self.run([BIN / "msh", *arguments], env=env, **options)

    def pin(self) -> str:
        return next(a["pin"] for a in json.loads(self.mezctl("ca", "status", "--format=json")) if a["type"] == "host")

    # Users.

    def role(self, name: str, allow: dict, deny: dict | None = None, options: dict | None = None):
        document = {"kind": "role", "version": "v1", "metadata": {"name": name},
                    "spec": {"options": options or {}, "allow": allow, "deny": deny or {}}}
        path = self.dir / f"role-{name}.yaml"
        path.write_text(json.dumps(document))
        self.mezctl("roles", "create", f"--from-file={path}")

    def user(self, name: str, roles: str, password: str = "a good long password"):
        self.mezctl("users", "create", name, f"--roles={roles}", "--password-stdin", stdin=password + "\n")

    def login_as(self, name: str, password: str = "a good long password", *more: str) -> Path:
        """msh login; the path of the identity that stock ssh may use."""
        identity = self.dir / f"id-{name}"
        self.msh("login", f"--proxy=127.0.0.1:{self.web}", f"--user={name}", f"--password={password}", f"--ca-pin={self.pin()}",
                 f"--out={identity}", *more, user=name)
        self.msh("login", f"--proxy=127.0.0.1:{self.web}", f"--user={name}", f"--password={password}", f"--ca-pin={self.pin()}",
                 *more, user=name)
        return identity

    def known_hosts(self) -> Path:
        path = self.dir / "known_hosts"
        if path.exists():  # an ssh that runs may be reading it
            return path
        key = self.mezctl("ca", "export", "--type=host", "--format=openssh").strip()
        line = key if key.startswith("@cert-authority") else f"@cert-authority * {key}"
        path.write_text(line + "\n")
        return path

    # Stock OpenSSH.

    def ssh_options(self, identity: Path) -> list[str]:
        options = [f"UserKnownHostsFile={self.known_hosts()}", "GlobalKnownHostsFile=none", "StrictHostKeyChecking=yes",
                   "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", f"IdentityFile={identity}",
                   f"CertificateFile={identity}-cert.pub", "ConnectTimeout=60", "LogLevel=ERROR"]
        return [a for o in options for a in ("-o", o)]

    def ssh_config(self, user: str, identity: Path) -> Path:
        """What a user has in ~/.ssh/config: the jump host takes its options from here, as -o reaches only the last hop."""
        path = self.dir / f"ssh_config-{user}-{identity.name}"
        if path.exists():
            return path
        options = "".join(f"  {o.replace('=', ' ', 1)}\n" for o in self.ssh_options(identity)[1::2])
        path.write_text(f"Host *\n{options}")
        return path

    def ssh_argv(self, user: str, node: str, *arguments: str, login: str | None = None, identity: Path | None = None, options: tuple = ()) -> list[str]:
        identity = identity or self.dir / f"id-{user}"
        return ["ssh", "-F", str(self.ssh_config(user, identity)), *options, "-J", f"{user}@127.0.0.1:{self.ssh_port}",
                f"{login or self.login}@{node}", *arguments]

    def ssh(self, user: str, node: str, *arguments: str, login: str | None = None, identity: Path | None = None, options: tuple = (), **run):
        return self.run(self.ssh_argv(user, node, *arguments, login=login, identity=identity, options=options), **run)

    # What was recorded.

    def audit(self, *filters: str) -> list[dict]:
        return json.loads(self.mezctl("audit", "ls", "--format=json", *filters))

    def wait_audit(self, event_type: str, match=lambda event: True) -> dict:
        return until(lambda: [e for e in self.audit(f"--type={event_type}") if match(e)], f"an audit event {event_type}")[0]

    def recordings(self) -> list[dict]:
        return json.loads(self.mezctl("recordings", "ls", "--format=json"))

    def wait_recording(self, match=lambda recording: True) -> dict:
        return until(lambda: [r for r in self.recordings() if r.get("complete") and match(r)], "a complete recording")[0]

    def close(self):
        problems = []
        for process in [*self.agents.values(), *([self.hub] if self.hub else [])]:
            try:
                process.stop()
            except AssertionError as error:
                problems.append(str(error))
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not problems, "\n".join(problems)


def port_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
