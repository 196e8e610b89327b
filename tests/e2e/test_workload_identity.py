"""Workload identity as its administrators see it: registering SPIFFE IDs, SVIDs by hand, the trust bundle."""
import base64
import json
import subprocess

import jwt
import pytest
from cryptography import x509

from harness.cluster import BIN, Cluster
from harness.kms import KmsStandIn


def create(cluster: Cluster, path: str, *selectors: str, more: tuple = ()) -> dict:
    return json.loads(cluster.mezctl("workload-identity", "create", path, *(f"--selector={s}" for s in selectors), "--format=json", *more))


def verify(leaf, bundle, *more: str):
    return subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", str(bundle), *more, str(leaf)], capture_output=True, text=True)


def jwk_of(document: str, token: str):
    """The key that the token names, as PyJWT reads it."""
    keys = {k["kid"]: k for k in json.loads(document)["keys"] if k["use"] == "jwt-svid"}
    return jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]]).key


def test_registrations_are_made_listed_and_removed(cluster):
    made = create(cluster, "/shop/payments", "unix:user:payments", "node:label:env=dev",
                  more=("--x509-ttl=30m", "--jwt-ttl=1m", "--dns=payments.example,pay.example", "--jwt-audience=orders", "--hint=internal"))
    assert made["spiffe_id"] == "spiffe://test.mezite/shop/payments"
    assert made["selectors"] == ["unix:user:payments", "node:label:env=dev"]
    assert (made["x509_ttl_seconds"], made["jwt_ttl_seconds"], made["hint"]) == (1800, 60, "internal")
    listed = json.loads(cluster.mezctl("workload-identity", "ls", "--format=json"))
    assert made in listed
    assert "spiffe://test.mezite/shop/payments" in cluster.mezctl("workload-identity", "list")
    for name in (made["id"], "/shop/payments", made["spiffe_id"]):
        assert json.loads(cluster.mezctl("workload-identity", "get", name, "--format=json")) == made
    text = cluster.mezctl("workload-identity", "get", "/shop/payments")
    assert "pay.example" in text and "30m" in text and "orders" in text
    assert "removed" in cluster.mezctl("workload-identity", "rm", "/shop/payments")
    gone = cluster.mezctl("workload-identity", "get", "/shop/payments", check=False)
    assert gone.returncode == 1 and b"mezctl workload-identity ls" in gone.stderr
    events = {e["event_type"]: e for e in cluster.audit("--type=workload_identity.*")}
    assert events["workload_identity.created"]["resource_name"] == made["spiffe_id"]
    assert events["workload_identity.created"]["details"]["selectors"] == made["selectors"]
    assert events["workload_identity.deleted"]["details"]["registration"] == made["id"]


@pytest.mark.parametrize("arguments, status, says", [
    (("create", "/x"), 2, b"--selector"),
    (("create", "--selector=unix:uid:1"), 2, b"SPIFFE-ID"),
    (("issue", "/x"), 2, b"--help"),
    (("issue", "/x", "--out=a", "--audience=b"), 2, b"--help"),
    (("create", "/x", "--selector=node:name:web-01"), 1, b"tell processes apart"),
    (("create", "/x", "--selector=uid:1"), 1, b"unix:uid:"),
    (("create", "/x", "--selector=unix:uid:1", "--x509-ttl=3s"), 1, b"--x509-ttl"),
    (("create", "/x", "--selector=unix:uid:1", "--x509-ttl=soon"), 1, b"--x509-ttl"),
    (("create", "spiffe://elsewhere/x", "--selector=unix:uid:1"), 1, b"test.mezite"),
    (("create", "/agent/web-01", "--selector=unix:uid:1"), 1, b"/agent"),
    (("create", "/a//b", "--selector=unix:uid:1"), 1, b"segments"),
    (("issue", "/nowhere", "--audience=b"), 1, b"/nowhere"),
])
def test_wrong_use_says_what_is_right(cluster, arguments, status, says):
    done = cluster.mezctl("workload-identity", *arguments, check=False)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert done.stdout == b""


def test_help_has_examples_and_completion_knows_the_verbs(cluster):
    assert "unix:path:" in cluster.mezctl("workload-identity", "create", "--help")
    assert "--audience" in cluster.mezctl("workload-identity", "issue", "--help")
    assert "'workload-identity issue')" in cluster.mezctl("completion", "bash")


def test_only_those_with_the_right_may_register_or_issue(cluster):
    create(cluster, "/guarded", "unix:uid:1")
    cluster.user("wendy", "access")
    cluster.role("registrar", {"rules": [{"resources": ["workload_identities"], "verbs": ["list", "read", "create"]}]})
    cluster.user("reg", "registrar")
    cluster.role("issuer", {"rules": [{"resources": ["workload_identities"], "verbs": ["issue"]}]})
    cluster.user("issy", "issuer")

    def as_user(name: str, *arguments):
        pin = f"--ca-pin={cluster.pin()}"
        server = f"--auth-server=127.0.0.1:{cluster.grpc}"
        token = cluster.run([BIN / "mezctl", "login", server, pin, f"--username={name}", "--password-stdin"], stdin="a good long password\n").strip()
        return cluster.run([BIN / "mezctl", server, pin, "workload-identity", *arguments], env={"MEZITE_AUTH_TOKEN": token}, check=False)

    for arguments in (("ls",), ("create", "/y", "--selector=unix:uid:1"), ("issue", "/guarded", "--audience=a"), ("rm", "/guarded")):
        refused = as_user("wendy", *arguments)
        assert refused.returncode == 1 and b"workload_identities" in refused.stderr
    assert as_user("reg", "ls").returncode == 0
    assert as_user("reg", "create", "/z", "--selector=unix:uid:1").returncode == 0
    assert as_user("reg", "issue", "/z", "--audience=a").returncode == 1
    assert as_user("reg", "rm", "/z").returncode == 1
    assert as_user("issy", "issue", "/z", "--audience=a").returncode == 0
    assert as_user("issy", "get", "/z").returncode == 1


def test_x509_svid_by_hand_is_what_openssl_expects(cluster):
    create(cluster, "/billing", "unix:uid:1", more=("--dns=billing.example", "--x509-ttl=10m"))
    path = cluster.dir / "billing"
    cluster.mezctl("workload-identity", "issue", "/billing", f"--out={path}")
    assert (path.parent / "billing.key").stat().st_mode & 0o777 == 0o600
    for purpose in ("sslclient", "sslserver"):
        done = verify(f"{path}.crt", f"{path}-bundle.crt", "-purpose", purpose)
        assert done.returncode == 0, done.stderr
    assert verify(f"{path}.crt", f"{path}-bundle.crt", "-verify_hostname", "billing.example").returncode == 0
    assert verify(f"{path}.crt", f"{path}-bundle.crt", "-verify_hostname", "other.example").returncode != 0
    host_ca = cluster.dir / "host-ca.pem"
    host_ca.write_text(cluster.mezctl("ca", "export", "--type=host", "--format=x509"))
    assert verify(f"{path}.crt", host_ca).returncode != 0

    leaf = x509.load_pem_x509_certificate((path.parent / "billing.crt").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://test.mezite/billing"]
    assert names.get_values_for_type(x509.DNSName) == ["billing.example"]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign and not usage.value.crl_sign
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert 9 * 60 < (leaf.not_valid_after - leaf.not_valid_before).total_seconds() <= 11 * 60
    ca = x509.load_pem_x509_certificate((path.parent / "billing-bundle.crt").read_bytes())
    ca_names = ca.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ca_names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://test.mezite"]
    # The key fits the certificate, and it never left this machine.
    key = subprocess.run(["openssl", "pkey", "-in", f"{path}.key", "-pubout"], capture_output=True, text=True, check=True).stdout
    of_leaf = subprocess.run(["openssl", "x509", "-in", f"{path}.crt", "-noout", "-pubkey"], capture_output=True, text=True, check=True).stdout
    assert key == of_leaf
    event = cluster.wait_audit("workload.svid.issued", lambda e: e["details"]["type"] == "x509" and e["resource_name"].endswith("/billing"))
    assert event["user_name"] == "local:root" and int(event["details"]["serial"], 16) == leaf.serial_number


def test_jwt_svid_by_hand_verifies_with_another_library(cluster):
    create(cluster, "/tokens", "unix:uid:1", more=("--jwt-audience=orders", "--jwt-audience=stock"))
    token = cluster.mezctl("workload-identity", "issue", "/tokens", "--audience=orders").strip()
    status, document = cluster.get("/v1/webapi/spiffe/bundle.json")
    assert status == 200
    assert jwt.get_unverified_header(token).keys() == {"alg", "kid", "typ"}
    claims = jwt.decode(token, jwk_of(document, token), algorithms=["ES256"], audience="orders")
    assert claims["sub"] == "spiffe://test.mezite/tokens" and claims["aud"] == ["orders"]
    assert claims["exp"] - claims["iat"] == 300
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, jwk_of(document, token), algorithms=["ES256"], audience="stock")
    refused = cluster.mezctl("workload-identity", "issue", "/tokens", "--audience=bank", check=False)
    assert refused.returncode == 1 and b"orders, stock" in refused.stderr
    described = json.loads(cluster.mezctl("workload-identity", "issue", "/tokens", "--audience=stock", "--format=json"))
    assert described["spiffe_id"] == "spiffe://test.mezite/tokens" and described["token"].count(".") == 2


def test_trust_bundle_is_one_that_others_can_read(cluster):
    status, text = cluster.get("/v1/webapi/spiffe/bundle.json")
    assert status == 200
    assert text == cluster.mezctl("ca", "export", "--type=spiffe", "--format=spiffe-bundle")
    document = json.loads(text)
    assert document["spiffe_refresh_hint"] == 300 and document["spiffe_sequence"] >= 1
    uses = {k["use"]: k for k in document["keys"]}
    assert set(uses) == {"x509-svid", "jwt-svid"} and len(document["keys"]) == 2
    assert "kid" not in uses["x509-svid"] and uses["jwt-svid"]["crv"] == "P-256"
    der = base64.b64decode(uses["x509-svid"]["x5c"][0])
    pem = cluster.mezctl("ca", "export", "--type=spiffe")
    assert x509.load_der_x509_certificate(der) == x509.load_pem_x509_certificate(pem.encode())
    wrong = cluster.mezctl("ca", "export", "--type=host", "--format=spiffe-bundle", check=False)
    assert wrong.returncode == 1 and b"--type=spiffe" in wrong.stderr


def test_bundle_follows_a_rotation_of_the_spiffe_ca(cluster):
    create(cluster, "/turning", "unix:uid:1")

    def keys():
        document = json.loads(cluster.get("/v1/webapi/spiffe/bundle.json")[1])
        return document["spiffe_sequence"], [k.get("kid") or k["x5c"][0] for k in document["keys"]]

    def token():
        return cluster.mezctl("workload-identity", "issue", "/turning", "--audience=a").strip()

    before = token()
    sequence, old = keys()
    cluster.mezctl("ca", "rotate", "--type=spiffe")
    sequence_both, both = keys()
    assert sequence_both > sequence and len(both) == 4 and set(old) < set(both)
    assert jwt.get_unverified_header(token())["kid"] in old
    cluster.mezctl("ca", "advance", "--type=spiffe", "--force")
    during = token()
    assert jwt.get_unverified_header(during)["kid"] not in old
    document = cluster.get("/v1/webapi/spiffe/bundle.json")[1]
    for one in (before, during):
        assert jwt.decode(one, jwk_of(document, one), algorithms=["ES256"], audience="a")
    cluster.mezctl("ca", "advance", "--type=spiffe", "--force")
    document = cluster.get("/v1/webapi/spiffe/bundle.json")[1]
    assert len(keys()[1]) == 2 and not set(keys()[1]) & set(old)
    assert jwt.decode(during, jwk_of(document, during), algorithms=["ES256"], audience="a")
    with pytest.raises(KeyError):
        jwk_of(document, before)
    # The key for tokens follows from the CA's: a restart changes nothing.
    cluster.restart_hub()
    cluster.wait_connected("web-01")
    assert cluster.get("/v1/webapi/spiffe/bundle.json")[1] == document


def test_with_keys_in_kms_one_key_signs_certificates_and_tokens(fresh):
    kms = KmsStandIn()
    try:
        cluster = fresh(config={"ca": kms.config()}, env=kms.env())
        create(cluster, "/in-kms", "unix:uid:1")
        path = cluster.dir / "in-kms"
        cluster.mezctl("workload-identity", "issue", "/in-kms", f"--out={path}")
        assert verify(f"{path}.crt", f"{path}-bundle.crt", "-purpose", "sslserver").returncode == 0
        token = cluster.mezctl("workload-identity", "issue", "/in-kms", "--audience=a").strip()
        document = cluster.get("/v1/webapi/spiffe/bundle.json")[1]
        assert jwt.decode(token, jwk_of(document, token), algorithms=["ES256"], audience="a")["sub"] == "spiffe://test.mezite/in-kms"
        of_use = {k["use"]: (k["kty"], k["x"], k["y"]) for k in json.loads(document)["keys"]}
        assert of_use["x509-svid"] == of_use["jwt-svid"]
    finally:
        kms.close()
