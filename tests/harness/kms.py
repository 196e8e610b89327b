"""A stand-in for AWS KMS, and for the metadata service of an instance: KMS verifies Signature Version 4 as AWS writes it
down, signs with a real P-256 key for each key id, and fails on command."""
import base64
import datetime
import hashlib
import hmac
import json
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

ACCOUNT = "111122223333"


class Refusal(Exception):
    def __init__(self, code: str, message: str = "", status: int = 400):
        self.code, self.message, self.status = code, message, status


@dataclass
class Fault:
    """What happens to an operation: refused with a code; or `lost`: it is done, but the answer never comes."""
    code: str = ""
    status: int = 400
    lost: bool = False
    times: int | None = None  # None: until taken away


@dataclass
class Key:
    id: str
    private: ec.EllipticCurvePrivateKey
    tags: dict
    description: str
    state: str = "Enabled"
    deletion: int = 0  # when, in seconds since 1970


@dataclass
class Call:
    operation: str
    body: dict
    access_key_id: str
    error: str = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _serve(handler) -> _Server:
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def verify_sigv4(request: BaseHTTPRequestHandler, body: bytes, secrets: dict, region_here: str, service_here: str,
                 required: tuple) -> str:
    """Signature Version 4, from the description of it; the access key id."""
    given = request.headers.get("Authorization", "")
    if not given.startswith("AWS4-HMAC-SHA256 "):
        raise Refusal("MissingAuthenticationTokenException")
    fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
    key_id, day, region, service, end = fields["Credential"].split("/")
    if key_id not in secrets:
        raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
    secret, token = secrets[key_id]
    if token != (request.headers.get("X-Amz-Security-Token") or ""):
        raise Refusal("UnrecognizedClientException", "wrong session token")
    date = request.headers["X-Amz-Date"]
    then = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs((datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()) > 300:
        raise Refusal("InvalidSignatureException", "Signature expired")
    names = fields["SignedHeaders"].split(";")
    for needed in required:
        if needed not in names:
            raise Refusal("InvalidSignatureException", f"{needed} is not signed")
    path, _, query = request.path.partition("?")
    canonical = "\n".join([
        request.command, path, query,
        "".join(f"{n}:{' '.join(','.join(request.headers.get_all(n)).split())}\n" for n in names),
        fields["SignedHeaders"], hashlib.sha256(body).hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, f"{day}/{region}/{service}/{end}",
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, end):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    right = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if (region, service, end, day) != (region_here, service_here, "aws4_request", date[:8]) or not hmac.compare_digest(
            right, fields["Signature"]):
        raise Refusal("InvalidSignatureException", "The request signature we calculated does not match")
    return key_id


class KmsStandIn:
    """Keys outlive close()/open(), as AWS outlives a hub."""

    def __init__(self, region: str = "eu-central-1"):
        self.region = region
        self.secrets = {"AKIATESTTESTTEST": ("secret/of+the test", "")}  # access key id: (secret, session token)
        self.keys: dict[str, Key] = {}
        self.aliases: dict[str, str] = {}
        self.faults: dict[str, Fault] = {}
        self.required_tags: dict[str, str] = {}
        self.delay = 0.0
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = _serve(Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def env(self) -> dict[str, str]:
        key_id, (secret, token) = next(iter(self.secrets.items()))
        return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
                "AWS_EC2_METADATA_DISABLED": "true"}

    def config(self, **more) -> dict:
        return {"kms": {"provider": "aws", "region": self.region, "endpoint": self.url, **more}}

    def operations(self) -> list[str]:
        with self.lock:
            return [call.operation for call in self.calls]

    # The wire.

    def answer(self, request: BaseHTTPRequestHandler):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        operation = request.headers.get("X-Amz-Target", "").removeprefix("TrentService.")
        call = Call(operation, {}, "")
        with self.lock:
            self.calls.append(call)
        lost = False
        try:
            call.access_key_id = self.verify(request, body)
            call.body = json.loads(body)
            time.sleep(self.delay)
            with self.lock:
                fault = self.faults.get(operation)
                if fault and fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        del self.faults[operation]
                if fault and not fault.lost:
                    raise Refusal(fault.code, f"refused on command ({operation})", fault.status)
                lost = bool(fault)
                handler = getattr(self, f"do_{operation}", None)
                if not handler:
                    raise Refusal("UnknownOperationException")
                status, answer = 200, handler(call.body)
        except Refusal as refusal:
            call.error = refusal.code
            status, answer = refusal.status, {"__type": refusal.code, "message": refusal.message}
        if lost:
            request.close_connection = True
            return
        text = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/x-amz-json-1.1")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        try:
            request.wfile.write(text)
        except OSError:
            pass

    def verify(self, request: BaseHTTPRequestHandler, body: bytes) -> str:
        return verify_sigv4(request, body, self.secrets, self.region, "kms", ("host", "x-amz-date", "x-amz-target"))

    # The operations.

    def find(self, name: str, usable: bool = True) -> Key:
        key_id = self.aliases.get(name) if name.startswith("alias/") else name.split("/")[-1]
        if key_id not in self.keys:
            raise Refusal("NotFoundException", f"{name} is not found.")
        key = self.keys[key_id]
        if usable and key.state != "Enabled":
            raise Refusal("DisabledException" if key.state == "Disabled" else "KMSInvalidStateException",
                          f"{key.id} is {key.state}.")
        return key

    def metadata(self, key: Key) -> dict:
        return {"KeyMetadata": {"KeyId": key.id, "Arn": f"arn:aws:kms:{self.region}:{ACCOUNT}:key/{key.id}",
                                "KeyState": key.state, "Enabled": key.state == "Enabled", "KeySpec": "ECC_NIST_P256",
                                "KeyUsage": "SIGN_VERIFY", "Description": key.description,
                                **({"DeletionDate": key.deletion} if key.deletion else {}),
                                "SigningAlgorithms": ["ECDSA_SHA_256"]}}

    def do_CreateKey(self, body: dict) -> dict:
        tags = {t["TagKey"]: t["TagValue"] for t in body.get("Tags", [])}
        if any(tags.get(name) != value for name, value in self.required_tags.items()):
            raise Refusal("AccessDeniedException", f"User: arn:aws:iam::{ACCOUNT}:role/hub is not authorized to perform: "
                          "kms:CreateKey because no identity-based policy allows the kms:CreateKey action")
        if (body.get("KeySpec"), body.get("KeyUsage")) != ("ECC_NIST_P256", "SIGN_VERIFY"):
            raise Refusal("ValidationException", "only ECC_NIST_P256 for SIGN_VERIFY here")
        key = Key(str(uuid.uuid4()), ec.generate_private_key(ec.SECP256R1()), tags, body.get("Description", ""))
        self.keys[key.id] = key
        return self.metadata(key)

    def do_CreateAlias(self, body: dict) -> dict:
        name = body["AliasName"]
        if not name.startswith("alias/") or name.startswith("alias/aws/") or len(name) > 256:
            raise Refusal("InvalidAliasNameException")
        key = self.find(body["TargetKeyId"], usable=False)
        if name in self.aliases:
            raise Refusal("AlreadyExistsException", f"An alias with the name {name} already exists")
        self.aliases[name] = key.id
        return {}

    def do_DescribeKey(self, body: dict) -> dict:
        return self.metadata(self.find(body["KeyId"], usable=False))

    def do_ScheduleKeyDeletion(self, body: dict) -> dict:
        if body["KeyId"].startswith("alias/"):
            raise Refusal("NotFoundException", "Invalid keyId")
        days = body.get("PendingWindowInDays", 30)
        if not 7 <= days <= 30:
            raise Refusal("ValidationException", "PendingWindowInDays")
        key = self.find(body["KeyId"], usable=False)
        if key.state == "PendingDeletion":
            raise Refusal("KMSInvalidStateException", f"{key.id} is pending deletion.")
        key.state, key.deletion = "PendingDeletion", int(time.time()) + days * 86400
        return {"KeyId": f"arn:aws:kms:{self.region}:{ACCOUNT}:key/{key.id}", "DeletionDate": float(key.deletion),
                "KeyState": key.state, "PendingWindowInDays": days}

    def do_GetPublicKey(self, body: dict) -> dict:
        public = self.find(body["KeyId"]).private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return {"PublicKey": base64.b64encode(public).decode(), "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}

    def do_Sign(self, body: dict) -> dict:
        if (body.get("MessageType"), body.get("SigningAlgorithm")) != ("DIGEST", "ECDSA_SHA_256"):
            raise Refusal("ValidationException", "only ECDSA_SHA_256 over DIGEST here")
        digest = base64.b64decode(body["Message"], validate=True)
        if len(digest) != 32:
            raise Refusal("ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.")
        key = self.find(body["KeyId"])
        signature = key.private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return {"Signature": base64.b64encode(signature).decode(), "SigningAlgorithm": "ECDSA_SHA_256"}


class MetadataStandIn:
    """Instance metadata, version 2 only: every GET without a token is refused."""

    def __init__(self, role: str = "hub-role"):
        self.role, self.token = role, uuid.uuid4().hex
        self.credentials: dict = {}
        self.gets = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self, status: int, text: str = ""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_PUT(self):
                good = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                self.reply(200 if good else 400, outer.token if good else "")

            def do_GET(self):
                base = "/latest/meta-data/iam/security-credentials/"
                if self.headers.get("X-aws-ec2-metadata-token") != outer.token:
                    return self.reply(401)
                if self.path == base:
                    return self.reply(200, outer.role)
                if self.path == base + outer.role:
                    outer.gets += 1
                    return self.reply(200, json.dumps(outer.credentials))
                return self.reply(404)

            def log_message(self, *_):
                pass

        self.server = _serve(Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def issue(self, access_key_id: str, secret: str, token: str, life: datetime.timedelta):
        end = datetime.datetime.now(datetime.timezone.utc) + life
        self.credentials = {"Code": "Success", "AccessKeyId": access_key_id, "SecretAccessKey": secret, "Token": token,
                            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
