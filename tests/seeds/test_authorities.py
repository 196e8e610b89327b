"""The guides' sections on CA expiry and CA rotation, command by command as written there."""
import json
import re
import sqlite3
import time

from harness.process import Process
from harness.wait import until

from .acceptance import check
from .test_troubleshooting import on_hub, run

CAS = ("user", "host", "spiffe")


def cluster_of(fresh):
    cluster = fresh()
    cluster.role("dev", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "dev")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    return cluster


def status(cluster, ca: str) -> dict:
    shown = run("mezctl ca status --format=json", **on_hub(cluster))
    assert shown.returncode == 0, shown
    return next(a for a in json.loads(shown.stdout) if a["type"] == ca)


def phase(cluster, ca: str) -> tuple[str, str]:
    return status(cluster, ca)["rotation_phase"], status(cluster, ca)["rotation_state"]


def wait_caught_up(cluster, ca: str):
    until(lambda: not status(cluster, ca).get("lagging_nodes"), "every node to catch up")


def works(cluster, node: str = "web-01"):
    cluster.msh("ls")
    (cluster.dir / "known_hosts").write_text((cluster.dir / "msh-alice" / "known_hosts").read_text())
    assert cluster.msh("ssh", f"{cluster.login}@{node}", "echo", "in") == "in\n"


@check("T9")
@check("R6")
def test_status_shows_phase_state_keys_and_expiry(fresh):
    cluster = cluster_of(fresh)
    shown = run("mezctl ca status", **on_hub(cluster)).stdout
    assert re.findall(r"(?m)^type:?\s+(\w+)", shown) == list(CAS), shown
    for word in ("rotation_phase", "rotation_state", "active key", "standby key", "expires"):
        assert len(re.findall(rf"(?m)^{word}", shown)) == 3, shown
    assert len(re.findall(r"active key:?\s+SHA256:", shown)) == 3 and "complete" in shown and "standby" in shown
    run("mezctl ca rotate --type=host", **on_hub(cluster))
    shown = run("mezctl ca status", **on_hub(cluster)).stdout
    assert "update_clients" in shown and "in_progress" in shown and len(re.findall(r"standby key:?\s+SHA256:", shown)) == 1
    # Under 90 days there is a warning that names the command.
    cluster.hub.stop()
    with sqlite3.connect(cluster.data / "mezhub.db") as database:
        soon = int(time.time() + 30 * 86400) * 1000
        database.execute("UPDATE certificate_authorities SET expires_at = ? WHERE type = 'user'", (soon,))
    cluster.hub.start()
    cluster.wait_healthy()
    warned = run("mezctl ca status", **on_hub(cluster))
    assert "mezctl ca rotate --type=user" in warned.stderr and re.search(r"expires in (29|30) days", warned.stderr), warned


@check("R7")
def test_rotating_the_host_ca(fresh):
    cluster = cluster_of(fresh)
    env = on_hub(cluster)
    old = status(cluster, "host")["active_fingerprint"]
    assert run("mezctl ca rotate --type=host", **env).returncode == 0
    assert phase(cluster, "host") == ("update_clients", "in_progress")
    wait_caught_up(cluster, "host")
    works(cluster)
    assert run("mezctl ca advance --type=host", **env).returncode == 0
    assert phase(cluster, "host") == ("update_servers", "in_progress")
    wait_caught_up(cluster, "host")
    works(cluster)
    assert run("mezctl ca advance --type=host", **env).returncode == 0
    assert phase(cluster, "host") == ("complete", "standby")
    works(cluster)
    assert old not in run("mezctl ca status", **env).stdout
    with sqlite3.connect(cluster.data / "mezhub.db") as database:
        assert database.execute("SELECT count(*) FROM certificate_authorities WHERE type = 'host'").fetchone() == (1,)


@check("R8")
def test_rotating_the_user_and_spiffe_cas(fresh):
    cluster = cluster_of(fresh)
    env = on_hub(cluster)
    for ca in ("user", "spiffe"):
        for command, where in ((f"mezctl ca rotate --type={ca}", ("update_clients", "in_progress")),
                               (f"mezctl ca advance --type={ca}", ("update_servers", "in_progress")),
                               (f"mezctl ca advance --type={ca}", ("complete", "standby"))):
            done = run(command, **env)
            assert done.returncode == 0, done
            assert phase(cluster, ca) == where
            wait_caught_up(cluster, ca)
            works(cluster)


@check("R9")
def test_rollback_only_while_in_progress(fresh):
    cluster = cluster_of(fresh)
    env = on_hub(cluster)
    for ca in CAS:
        refused = run(f"mezctl ca rollback --type={ca}", **env)
        assert refused.returncode == 1 and "no rotation is under way" in refused.stderr
        old = status(cluster, ca)["active_fingerprint"]
        run(f"mezctl ca rotate --type={ca}", **env)
        assert run(f"mezctl ca rollback --type={ca}", **env).returncode == 0
        assert phase(cluster, ca) == ("complete", "standby") and status(cluster, ca)["active_fingerprint"] == old
        run(f"mezctl ca rotate --type={ca}", **env)
        wait_caught_up(cluster, ca)
        assert run(f"mezctl ca advance --type={ca}", **env).returncode == 0
        assert run(f"mezctl ca rollback --type={ca}", **env).returncode == 0
        assert status(cluster, ca)["rotation_state"] == "rollback" and status(cluster, ca)["active_fingerprint"] == old
        refused = run(f"mezctl ca rollback --type={ca}", **env)
        assert refused.returncode == 1 and "being rolled back" in refused.stderr
        wait_caught_up(cluster, ca)
        works(cluster)
        assert run(f"mezctl ca advance --type={ca}", **env).returncode == 0
        assert phase(cluster, ca) == ("complete", "standby")
        works(cluster)


@check("T10")
@check("T11")
def test_an_agent_that_missed_the_bundle_is_seen_and_a_restart_heals(fresh):
    cluster = cluster_of(fresh)
    env = on_hub(cluster)
    agent = cluster.start_agent("laggard")
    old = status(cluster, "host")["active_fingerprint"]
    agent.kill()
    run("mezctl ca rotate --type=host", **env)
    until(lambda: status(cluster, "host").get("lagging_nodes") == ["laggard"], "the laggard to be the only one")
    assert "laggard" in run("mezctl ca status", **env).stdout
    refused = run("mezctl ca advance --type=host", **env)
    assert refused.returncode == 1 and "laggard" in refused.stderr and "--force" in refused.stderr
    assert run("mezctl ca advance --type=host --force", **env).returncode == 0
    new = status(cluster, "host")["active_fingerprint"]

    def signers():
        return {n["name"]: n["host_cert_signer_fingerprint"] for n in json.loads(run("mezctl nodes ls --format=json", **env).stdout)}
    until(lambda: signers() == {"web-01": new, "laggard": old}, "nodes ls to show who has an old certificate")
    assert "host_cert_signer_fingerprint" in run("mezctl nodes ls", **env).stdout.lower()
    agent.start()
    until(lambda: signers() == {"web-01": new, "laggard": new}, "a restart to heal the laggard")
    wait_caught_up(cluster, "host")
    works(cluster, "laggard")


@check("T12")
def test_rollback_restores_working_access(fresh):
    cluster = cluster_of(fresh)
    env = on_hub(cluster)
    old = status(cluster, "user")["active_fingerprint"]
    run("mezctl ca rotate --type=user", **env)
    wait_caught_up(cluster, "user")
    run("mezctl ca advance --type=user", **env)
    done = run("mezctl ca rollback --type=user", **env)
    assert done.returncode == 0, done
    assert status(cluster, "user")["active_fingerprint"] == old
    works(cluster)
    cluster.login_as("alice")
    works(cluster)
    shown = run(f"ssh-keygen -L -f {cluster.dir}/id-alice-cert.pub").stdout
    assert old in shown, shown


@check("T4")
def test_an_agent_that_lost_its_disk_and_missed_a_rotation(fresh):
    cluster = cluster_of(fresh)
    env = on_hub(cluster)
    agent = cluster.start_agent("lost")
    token = cluster.token()
    agent.stop()
    for command in ("rotate", "advance --force", "advance --force"):
        assert run(f"mezctl ca {command.split()[0]} --type=host {' '.join(command.split()[1:])}", **env).returncode == 0
        until(lambda: set(status(cluster, "host").get("lagging_nodes", [])) <= {"lost"}, "the others to catch up")
        cluster.msh("ls")  # a user at work: msh follows the keys with its calls
    run(f"rm -rf {cluster.dir}/lost")
    old = Process("mezd lost", agent.argv, cluster.dir / "lost-old.log", cluster.agent_env("lost", MEZITE_JOIN_TOKEN=token))
    until(lambda: not old.running(), "the old pin to be refused")
    assert "does not have the pin" in old.output() and "delete MEZITE_DATA_DIR and join again with a fresh token" in old.output()
    run(f"rm -rf {cluster.dir}/lost")
    cluster.start_agent("lost", MEZITE_JOIN_TOKEN=cluster.token())
    works(cluster, "lost")
