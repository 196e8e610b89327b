"""Signature Version 4 against botocore, over requests nobody would write by hand."""
import datetime
import json
import os
import random
import subprocess
from pathlib import Path
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

BIN = Path(os.environ.get("MEZITE_BIN", "build/bin"))
CASES = 1500
TEXT = "aZ09-._~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}éß漢😀\u00a0"
HEADER_TEXT = "aZ09 ,;=/\"-._~()*'  "


def text(rng: random.Random, alphabet: str, most: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, most)))


def make_case(rng: random.Random) -> dict:
    service = rng.choice(["s3", "s3", "kms", "sts", "dynamodb"])
    segments = [rng.choice(["", ".", "..", text(rng, TEXT.replace("/", ""), 8)]) for _ in range(rng.randint(0, 5))]
    names = [text(rng, TEXT, 6) for _ in range(rng.randint(0, 5))]
    query = [[rng.choice(names + ["a", "A", "a b", "acl", "list-type"]), rng.choice(["", text(rng, TEXT, 8)])]
             for _ in range(rng.randint(0, 6))]
    headers = {}
    for _ in range(rng.randint(0, 5)):
        name = rng.choice(["Content-Type", "x-amz-meta-a", "X-Amz-Target", "X-Amz-Meta-B", "Range", "User-Agent", "Expect"])
        headers[name] = text(rng, HEADER_TEXT, 20).strip() or "v"
    return {
        "method": rng.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]),
        "host": rng.choice(["kms.eu-central-1.amazonaws.com", "bucket.s3.amazonaws.com", "127.0.0.1:8123", "localhost:9"]),
        "path": "/" + "/".join(segments) + rng.choice(["", "/"]),
        "query": query,
        "headers": [[k, v] for k, v in headers.items()],
        "body": text(rng, TEXT, 60) if rng.random() < 0.7 else "",
        "service": service,
        "region": rng.choice(["eu-central-1", "us-east-1", "cn-north-1"]),
        "unsigned_payload": service == "s3" and rng.random() < 0.3,
        "access_key_id": "AKIA" + text(rng, "ABCDEFG234567", 12),
        "secret_access_key": text(rng, "abcXYZ019/+=", 40) or "k",
        "session_token": text(rng, "abcXYZ019/+=", 60) if rng.random() < 0.4 else "",
        "time": rng.randint(1_000_000_000, 4_000_000_000),
    }


def by_botocore(case: dict, monkeypatch) -> tuple[str, str]:
    class Frozen(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.fromtimestamp(case["time"], datetime.timezone.utc).replace(tzinfo=None)

    monkeypatch.setattr(botocore.auth.datetime, "datetime", Frozen)
    s3 = case["service"] == "s3"
    query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in case["query"])
    url = f"https://{case['host']}{quote(case['path'], safe='/-_.~')}" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest(case["method"], url, data=case["body"].encode())
    for name, value in case["headers"]:
        request.headers[name] = value
    request.headers["Host"] = case["host"]
    if case["unsigned_payload"]:
        request.context["payload_signing_enabled"] = False
    credentials = botocore.credentials.Credentials(
        case["access_key_id"], case["secret_access_key"], case["session_token"] or None)
    kind = botocore.auth.S3SigV4Auth if s3 else botocore.auth.SigV4Auth
    signer = kind(credentials, case["service"], case["region"])
    seen = []
    real = signer.canonical_request
    monkeypatch.setattr(signer, "canonical_request", lambda r: seen.append(real(r)) or seen[-1])
    signer.add_auth(request)
    return request.headers["Authorization"], seen[0]


def test_generated_requests_are_signed_as_botocore_signs_them(monkeypatch):
    rng = random.Random(20240501)
    cases = []
    while len(cases) < CASES:
        case = make_case(rng)
        if case["unsigned_payload"]:
            case["headers"].append(["Content-MD5", "x"])
        cases.append(case)
    ran = subprocess.run([BIN / "sigv4"], input="".join(json.dumps(c) + "\n" for c in cases), text=True, timeout=120,
                         capture_output=True, check=True)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answers) == CASES
    for case, ours in zip(cases, answers):
        theirs, canonical = by_botocore(case, monkeypatch)
        assert ours["canonical_request"] == canonical, case
        assert ours["headers"]["Authorization"] == theirs, case


@pytest.mark.parametrize("change", ["secret_access_key", "region", "time", "body", "method", "path"])
def test_whatever_is_changed_changes_the_signature(change):
    case = make_case(random.Random(7)) | {"unsigned_payload": False, "service": "kms", "body": "x", "path": "/a"}
    other = dict(case)
    other[change] = case[change] + 1 if change == "time" else case[change] + "x"
    ran = subprocess.run([BIN / "sigv4"], input=json.dumps(case) + "\n" + json.dumps(other) + "\n", text=True,
                         capture_output=True, check=True, timeout=30)
    first, second = (json.loads(line)["headers"]["Authorization"] for line in ran.stdout.splitlines())
    assert first.split("Signature=")[1] != second.split("Signature=")[1]
