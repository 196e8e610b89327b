"""CA keys in AWS KMS: stock ssh accepts what it signs, failures are sentences, and a slow one slows nobody else."""
import datetime
import json
import re
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.cluster import BIN, Cluster
from harness.kms import Fault, KmsStandIn, MetadataStandIn
from harness.process import Process
from harness.wait import until


@pytest.fixture(scope="module")
def kms():
    made = KmsStandIn()
    yield made
    made.close()


@pytest.fixture(scope="module")
def kms_cluster(kms):
    cluster = Cluster(config={"ca": kms.config(key_tags={"team": "security"})}, env=kms.env())
    try:
        cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        cluster.start_agent("web-01")
        cluster.login_as("alice")
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def own_kms():
    made = KmsStandIn()
    yield made
    made.close()


def database(cluster: Cluster) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{cluster.data}/mezhub.db?mode=ro", uri=True)


def start_and_fail(cluster: Cluster) -> str:
    """Starts a hub that can't; what it said."""
    cluster.hub = Process("mezhub", [BIN / "mezhub", f"--config={cluster.config_file}"], cluster.dir / "mezhub.log",
                          cluster.hub_env)
    until(lambda: not cluster.hub.running(), "the hub to give up")
    said = cluster.hub.output()
    for secret in ("secret/of+the test",):
        assert secret not in said
    return said


def login_body(cluster: Cluster) -> dict:
    key = subprocess.run(["ssh-keygen", "-y", "-f", cluster.dir / "id-alice"], check=True, capture_output=True, text=True).stdout
    return {"user": "alice", "password": "a good long password", "ssh_public_key": key}


def test_stock_ssh_accepts_what_kms_signs(kms, kms_cluster):
    assert kms_cluster.ssh("alice", "web-01", "echo through kms").strip() == "through kms"
    said = subprocess.run(["ssh-keygen", "-L", "-f", f"{kms_cluster.dir}/id-alice-cert.pub"], capture_output=True, text=True)
    assert "Signing CA: ECDSA" in said.stdout, said.stdout
    assert {k.tags["mezite:ca"] for k in kms.keys.values()} == {"user", "host", "spiffe"}
    assert all(k.tags["team"] == "security" and k.tags["mezite:cluster"] == "test.mezite" for k in kms.keys.values())
    # The Host CA as openssl sees it: its certificate and the one that the web port shows.
    ca = kms_cluster.dir / "kms-host-ca.pem"
    ca.write_text(kms_cluster.mezctl("ca", "export", "--type=host", "--format=x509"))
    seen = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{kms_cluster.web}", "-CAfile", ca,
                           "-verify_return_error", "-verify_ip", "127.0.0.1"], input="", capture_output=True, text=True)
    assert "Verify return code: 0" in seen.stdout, seen.stdout + seen.stderr


def test_the_database_holds_the_alias_and_never_a_key(kms, kms_cluster):
    with database(kms_cluster) as db:
        rows = db.execute("SELECT type, kms_alias, length(private_key) FROM certificate_authorities").fetchall()
        pending = db.execute("SELECT count(*) FROM settings WHERE name LIKE 'kms.pending.%'").fetchone()
    assert len(rows) == 3 and pending == (0,)
    for ca, alias, size in rows:
        assert kms.aliases[alias] in kms.keys and f"/{ca}/" in alias
        assert size < 48, "the seal of nothing"


def test_a_login_takes_a_slow_kms_in_its_stride(kms, kms_cluster):
    """A KMS of 50 ms adds one call of it to a login; bench/login.py says what that is in all."""
    body = login_body(kms_cluster)
    password_only = {name: body[name] for name in ("user", "password")}

    def timed(path: str, sent: dict) -> float:
        started = time.monotonic()
        status, answer = kms_cluster.post(path, sent)
        assert status == 200, answer
        return time.monotonic() - started

    timed("/v1/webapi/login", body)
    before = len(kms.operations())
    kms.delay = 0.05
    logins = []
    try:
        for _ in range(30):
            logins.append(timed("/v1/webapi/login", body))
            timed("/v1/webapi/session", password_only)
    finally:
        kms.delay = 0
    assert min(logins) >= 0.05, "the signature was KMS's"
    metrics = kms_cluster.get("/metrics")[1]
    count = int(re.search(r'mezite_kms_call_seconds_count\{operation="Sign"\} (\d+)', metrics)[1])
    fast = int(re.search(r'mezite_kms_call_seconds_bucket\{operation="Sign",le="0.05"\} (\d+)', metrics)[1])
    assert count - fast >= len(logins), metrics
    assert kms.operations()[before:] == ["Sign"] * len(logins), "one call for a login, none for a session"


def test_a_hanging_kms_leaves_the_rest_alone(kms, kms_cluster):
    body = login_body(kms_cluster)
    kms.delay = 4  # longer than one try waits
    try:
        with ThreadPoolExecutor(30) as pool:
            logins = [pool.submit(kms_cluster.post, "/v1/webapi/login", body) for _ in range(30)]
            until(lambda: kms.operations()[-10:].count("Sign") == 10, "signatures to be asked for")
            slowest = 0.0
            for _ in range(20):
                started = time.monotonic()
                assert json.loads(kms_cluster.mezctl("nodes", "ls", "--format=json"))
                slowest = max(slowest, time.monotonic() - started)
            assert slowest < 3.5, f"{slowest:.2f} s"
            answers = [login.result() for login in logins]
    finally:
        kms.delay = 0
    assert all(status in (429, 503, 504) for status, _ in answers), answers
    assert kms_cluster.ssh("alice", "web-01", "echo back").strip() == "back"
    until(lambda: kms_cluster.post("/v1/webapi/login", body)[0] == 200, "logins to work again")


def test_throttling_is_ridden_out(kms, kms_cluster):
    kms.faults["Sign"] = Fault("ThrottlingException", times=2)
    kms_cluster.login_as("alice")
    assert "Sign" not in kms.faults


@pytest.mark.parametrize("operation,permission", [("CreateKey", "kms:CreateKey"), ("CreateAlias", "kms:CreateAlias"),
                                                  ("Sign", "kms:Sign"), ("GetPublicKey", "kms:GetPublicKey"),
                                                  ("DescribeKey", "kms:DescribeKey")])
def test_a_missing_permission_is_named(own_kms, fresh, operation, permission):
    own_kms.faults[operation] = Fault("AccessDeniedException")
    cluster = fresh(config={"ca": own_kms.config()}, env=own_kms.env(), start=False)
    said = start_and_fail(cluster)
    assert f"grant the hub's IAM principal {permission}" in said, said
    # What was made is used by the next start, and nothing is made twice.
    made = set(own_kms.keys)
    own_kms.faults.clear()
    cluster.start_hub()
    assert made <= set(own_kms.keys) and len(own_kms.keys) == 3


def test_an_answer_that_got_lost_makes_no_second_key(own_kms, fresh):
    own_kms.faults["CreateAlias"] = Fault(lost=True, times=2)
    cluster = fresh(config={"ca": own_kms.config()}, env=own_kms.env())
    assert len(own_kms.keys) == 3 and len(own_kms.aliases) == 3
    assert cluster.hub.running()


def test_a_crash_between_key_and_alias(own_kms, fresh):
    own_kms.faults["CreateAlias"] = Fault("KMSInternalException", status=500)
    cluster = fresh(config={"ca": own_kms.config()}, env=own_kms.env(), start=False)
    cluster.hub = Process("mezhub", [BIN / "mezhub", f"--config={cluster.config_file}"], cluster.dir / "mezhub.log",
                          cluster.hub_env)
    until(lambda: "CreateAlias" in own_kms.operations(), "the hub to be between the two")
    cluster.hub.kill()
    assert len(own_kms.keys) == 1
    own_kms.faults.clear()
    cluster.start_hub()
    assert len(own_kms.keys) == 3, "the key of the crash is one of them"


def aws_names(cluster: Cluster, ca: str) -> dict:
    return next(a for a in json.loads(cluster.mezctl("ca", "status", "--format=json")) if a["type"] == ca)


def test_status_names_the_keys_and_the_old_one_is_to_be_deleted(own_kms, fresh):
    cluster = fresh(config={"ca": own_kms.config()}, env=own_kms.env())
    old = aws_names(cluster, "user")["active_kms"]
    assert own_kms.aliases[old["alias"]] == old["key_id"]
    assert f"{old['alias']} (key {old['key_id']})" in cluster.mezctl("ca", "status")
    cluster.mezctl("ca", "rotate", "--type=user")
    new = aws_names(cluster, "user")["standby_kms"]
    cluster.mezctl("ca", "advance", "--type=user")
    assert own_kms.keys[old["key_id"]].state == "Enabled", "it may have to sign again"
    assert "ScheduleKeyDeletion" not in own_kms.operations()
    done = cluster.mezctl("ca", "advance", "--type=user")
    assert old["alias"] in done and "deleted" in done
    assert own_kms.keys[old["key_id"]].state == "PendingDeletion" and own_kms.keys[new["key_id"]].state == "Enabled"
    asked = [call.body for call in own_kms.calls if call.operation == "ScheduleKeyDeletion"]
    assert asked == [{"KeyId": old["key_id"], "PendingWindowInDays": 30}], "by its id, which nobody can point elsewhere"
    status = aws_names(cluster, "user")
    assert status["active_kms"] == new and [k["key"] for k in status["retired_kms"]] == [old]
    gone = datetime.datetime.fromisoformat(status["retired_kms"][0]["deleted_at"].replace("Z", "+00:00"))
    left = gone - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=29, hours=23) < left <= datetime.timedelta(days=30)
    event = cluster.wait_audit("ca.key.retired")
    assert event["event_code"] == "T6015I" and event["details"]["key_id"] == old["key_id"], event
    cluster.restart_hub()
    assert aws_names(cluster, "user")["retired_kms"] == status["retired_kms"]
    assert own_kms.operations().count("ScheduleKeyDeletion") == 1


def test_a_key_that_may_not_be_deleted_fails_no_rotation(own_kms, fresh):
    """The permission is the operator's to give: without it the key stays, and everybody is told."""
    own_kms.faults["ScheduleKeyDeletion"] = Fault("AccessDeniedException")
    cluster = fresh(config={"ca": own_kms.config()}, env=own_kms.env())
    old = aws_names(cluster, "host")["active_kms"]
    for step in ("rotate", "advance", "advance"):
        cluster.mezctl("ca", step, "--type=host")
    status = aws_names(cluster, "host")
    assert (status["rotation_phase"], status["rotation_state"]) == ("complete", "standby")
    assert status["retired_kms"][0]["key"] == old and status["retired_kms"][0]["deleted_at"] is None
    told = cluster.mezctl("ca", "status")
    assert "stays in KMS" in told and "grant the hub's IAM principal kms:ScheduleKeyDeletion" in told, told
    event = cluster.wait_audit("ca.key.retired")
    assert event["event_code"] == "T6015W" and "kms:ScheduleKeyDeletion" in event["error_message"], event
    # With the right it is made up for by the next start, which a rotation does not wait for.
    own_kms.faults.clear()
    cluster.restart_hub()
    until(lambda: own_kms.keys[old["key_id"]].state == "PendingDeletion", "the key to be scheduled for deletion")
    until(lambda: aws_names(cluster, "host")["retired_kms"][0]["deleted_at"], "the status to say so")


def test_a_rotation_from_the_database_into_kms_retires_nothing(own_kms, fresh):
    cluster = fresh(env=own_kms.env())
    assert aws_names(cluster, "spiffe")["active_kms"]["alias"] == "" and "KMS" not in cluster.mezctl("ca", "status")
    cluster.write_config({"ca": own_kms.config()})
    cluster.restart_hub()
    for step in ("rotate", "advance", "advance"):
        cluster.mezctl("ca", step, "--type=spiffe")
    status = aws_names(cluster, "spiffe")
    assert status["active_kms"]["key_id"] in own_kms.keys and status["retired_kms"] == []
    assert "ScheduleKeyDeletion" not in own_kms.operations()


# T33: a restore without the KMS key can't sign and says so.
@pytest.mark.parametrize("what", ["gone", "pending", "moved", "no kms"])
def test_a_restore_without_its_key_cannot_sign(own_kms, fresh, what):
    cluster = fresh(config={"ca": own_kms.config()}, env=own_kms.env())
    cluster.hub.stop()
    keys, aliases = dict(own_kms.keys), dict(own_kms.aliases)
    alias = next(a for a in aliases if "/host/" in a)
    if what == "gone":
        own_kms.aliases.clear()
    elif what == "pending":
        own_kms.keys[aliases[alias]].state = "PendingDeletion"
    elif what == "moved":
        own_kms.aliases[alias] = next(k for k in keys if k != aliases[alias])
    else:
        cluster.write_config({})
    said = start_and_fail(cluster)
    expected = {"gone": "can't sign", "pending": "is PendingDeletion in KMS", "moved": "its public key is another one's",
                "no kms": "without it a restored hub can't sign; set ca.kms.provider"}[what]
    assert expected in said and "host CA" in said or what == "gone" and expected in said, said
    own_kms.aliases.update(aliases)
    own_kms.keys[aliases[alias]].state = "Enabled"
    cluster.write_config({"ca": own_kms.config()})
    cluster.start_hub()


def test_credentials_of_the_instance_are_renewed(own_kms, fresh):
    metadata = MetadataStandIn()
    try:
        own_kms.secrets = {"ASIAONE": ("one", "token-1"), "ASIATWO": ("two", "token-2")}
        metadata.issue("ASIAONE", "one", "token-1", datetime.timedelta(minutes=5, seconds=3))
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
               "AWS_SHARED_CREDENTIALS_FILE": "", "HOME": "/nonexistent"}
        cluster = fresh(config={"ca": own_kms.config()}, env=env)
        cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        assert {call.access_key_id for call in own_kms.calls} == {"ASIAONE"}
        metadata.issue("ASIATWO", "two", "token-2", datetime.timedelta(hours=1))

        def renewed():
            cluster.login_as("alice")
            return own_kms.calls[-1].access_key_id == "ASIATWO"
        until(renewed, "the renewed credentials to be used")
    finally:
        metadata.close()


def test_wrong_credentials_are_said_to_be_wrong(own_kms, fresh):
    cluster = fresh(config={"ca": own_kms.config()}, env={**own_kms.env(), "AWS_SECRET_ACCESS_KEY": "not it"}, start=False)
    said = start_and_fail(cluster)
    assert "InvalidSignatureException" in said and "check the hub's AWS credentials and its clock" in said, said
    assert "not it" not in said
