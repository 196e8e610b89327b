"""A stand-in for AWS STS: it verifies Signature Version 4, answers GetCallerIdentity, and fails on command."""
import json
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from .kms import Refusal, _serve, verify_sigv4

ACCOUNT = "111122223333"


class StsStandIn:
    def __init__(self, region: str = "eu-central-1"):
        self.region = region
        self.secrets: dict[str, tuple[str, str]] = {}  # access key id: (secret, session token)
        self.callers: dict[str, tuple[str, str]] = {}  # access key id: (account, ARN)
        self.status = 0  # not 0: what every request is answered with
        self.location = ""
        self.answers = threading.Event()  # cleared: answers come when it is set, or never
        self.answers.set()
        self.requests: list[dict] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.answer(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = _serve(Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"

    def close(self):
        self.answers.set()
        self.server.shutdown()
        self.server.server_close()

    def config(self) -> dict:
        return {"auth": {"iam": {"sts_endpoint": self.url, "sts_region": self.region}}}

    def machine(self, name: str, role: str = "web-nodes", account: str = ACCOUNT, token: str = "") -> dict[str, str]:
        """A machine with that role; its environment."""
        key_id, secret = f"ASIA{name.upper().replace('-', '')}", f"secret/of+{name}"
        self.secrets[key_id] = (secret, token)
        self.callers[key_id] = (account, f"arn:aws:sts::{account}:assumed-role/{role}/i-{name}")
        return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
                "AWS_EC2_METADATA_DISABLED": "true"}

    def answer(self, request: BaseHTTPRequestHandler):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.requests.append({"method": request.command, "path": request.path, "body": body.decode(), "headers": dict(request.headers)})
        self.answers.wait()
        try:
            if self.status:
                raise Refusal("RefusedOnCommand", status=self.status)
            key_id = verify_sigv4(request, body, self.secrets, self.region, "sts", ("host", "x-amz-date", "x-mezite-join"))
            if {k: v[0] for k, v in parse_qs(body.decode()).items()} != {"Action": "GetCallerIdentity", "Version": "2011-06-15"}:
                raise Refusal("InvalidAction")
            account, arn = self.callers[key_id]
            status, answer = 200, {"GetCallerIdentityResponse": {
                "GetCallerIdentityResult": {"Account": account, "Arn": arn, "UserId": "AROATEST"},
                "ResponseMetadata": {"RequestId": "0"}}}
        except Refusal as refusal:
            status = 403 if refusal.status == 400 else refusal.status
            answer = {"Error": {"Code": refusal.code, "Message": refusal.message, "Type": "Sender"}, "RequestId": "0"}
        text = json.dumps(answer).encode()
        request.send_response(status)
        if self.location:
            request.send_header("Location", self.location)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        try:
            request.wfile.write(text)
        except OSError:
            pass
