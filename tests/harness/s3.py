"""A stand-in for S3: buckets in memory, Signature Version 4 verified as AWS writes it down, permissions by action and prefix,
and failures on command."""
import base64
import hashlib
import hmac
import html
import re
import threading
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REGION = "eu-central-1"


class Refusal(Exception):
    def __init__(self, code: str, status: int, message: str = ""):
        self.code, self.status, self.message = code, status, message


@dataclass
class Fault:
    """What happens to an action: an error; `slow` seconds first; `cut_at`: the connection ends after so many bytes of the
    body; `lost`: it is done, but no answer comes."""
    code: str = ""
    status: int = 500
    slow: float = 0
    cut_at: int | None = None
    lost: bool = False
    times: int | None = None  # None: until taken away


@dataclass
class Bucket:
    objects: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict] = field(default_factory=dict)
    uploads: dict[str, dict] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class S3StandIn:
    def __init__(self, *buckets: str, region: str = REGION):
        self.region = region
        self.key_id, self.secret = "AKIAS3S3S3S3S3S3", "s3-secret/with+signs"
        self.buckets = {name: Bucket() for name in buckets}
        self.allowed: list[tuple[str, str]] | None = None  # (action, "bucket/prefix"); None: everything
        self.faults: dict[str, Fault] = {}
        self.calls: list[tuple[str, str]] = []  # (action, "bucket/key"), those refused as well
        self.locations: dict[str, str] = {}
        self.full = False
        self.page = 1000  # objects in an answer to ListObjectsV2, at the most
        self.lock = threading.Lock()
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                outer.answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def env(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true"}

    def config(self, bucket: str, **more) -> dict:
        return {"backend": "s3", "s3": {"bucket": bucket, "region": self.region, "endpoint": self.url, **more}}

    def actions(self) -> set[str]:
        with self.lock:
            return {action for action, _ in self.calls}

    def objects(self, bucket: str) -> dict[str, bytes]:
        with self.lock:
            return dict(self.buckets[bucket].objects) if bucket in self.buckets else {}

    # The wire.

    def answer(self, request: BaseHTTPRequestHandler):
        length = int(request.headers.get("Content-Length", 0))
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        host = request.headers.get("Host", "").split(":")[0]
        path = urllib.parse.unquote(url.path)
        if host.endswith(".s3.localhost"):  # virtual-host style
            bucket, key = host.removesuffix(".s3.localhost"), path[1:]
        else:
            bucket, _, key = path[1:].partition("/")
        action = self.action_of(request.command, key, query)
        fault = self.take_fault(action)
        if fault and fault.cut_at is not None:
            with self.lock:
                self.calls.append((action, f"{bucket}/{key}"))
            request.rfile.read(min(length, fault.cut_at))
            request.connection.close()
            request.close_connection = True
            return
        body = request.rfile.read(length)
        with self.lock:
            self.calls.append((action, f"{bucket}/{key}"))
        status, headers, answer = 200, {}, b""
        try:
            self.verify(request, url, body)
            if self.allowed is not None and not any(a == self.permission(action) and f"{bucket}/{key}".startswith(p) for a, p in self.allowed):
                raise Refusal("AccessDenied", 403, f"not allowed to {self.permission(action)}")
            if fault and fault.slow:
                self.released.wait(fault.slow)
            if fault and fault.code:
                raise Refusal(fault.code, fault.status, "refused on command")
            if self.full and action in ("PutObject", "UploadPart"):
                raise Refusal("InsufficientStorage", 507, "no room")
            with self.lock:
                status, headers, answer = getattr(self, f"do_{action}")(bucket, key, query, request.headers, body)
        except Refusal as refusal:
            status = refusal.status
            answer = f"<?xml version=\"1.0\"?><Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>".encode()
        if fault and fault.lost:
            request.connection.close()
            request.close_connection = True
            return
        try:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)
        except OSError:
            request.close_connection = True

    @staticmethod
    def action_of(method: str, key: str, query: dict) -> str:
        if not key:
            return {"PUT": "CreateBucket", "GET": "ListBucket", "HEAD": "HeadBucket"}.get(method, "Unknown")
        if method == "POST":
            return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
        if method == "PUT":
            return "UploadPart" if "partNumber" in query else "PutObject"
        if method == "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
        return {"GET": "GetObject", "HEAD": "HeadObject"}[method]

    @staticmethod
    def permission(action: str) -> str:
        return "PutObject" if action in ("CreateMultipartUpload", "CompleteMultipartUpload", "UploadPart") else action

    def take_fault(self, action: str) -> Fault | None:
        with self.lock:
            fault = self.faults.get(action) or self.faults.get("*")
            if fault and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults = {name: one for name, one in self.faults.items() if one is not fault}
            return fault

    def verify(self, request, url, body: bytes):
        """Signature Version 4 for S3, from the description of it: the path is encoded once, as it is."""
        given = request.headers.get("Authorization", "")
        if not given.startswith("AWS4-HMAC-SHA256 "):
            raise Refusal("AccessDenied", 403, "not signed")
        fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
        key_id, date, region, service, end = fields["Credential"].split("/")
        stamp = request.headers["X-Amz-Date"]
        if key_id != self.key_id:
            raise Refusal("InvalidAccessKeyId", 403)
        if (region, service, end) != (self.region, "s3", "aws4_request") or not stamp.startswith(date):
            raise Refusal("AuthorizationHeaderMalformed", 400, "the region is wrong")
        hashed = request.headers.get("X-Amz-Content-Sha256", "")
        if hashed != hashlib.sha256(body).hexdigest():
            raise Refusal("XAmzContentSHA256Mismatch", 400)
        signed = fields["SignedHeaders"].split(";")
        for name in request.headers:
            if name.lower().startswith("x-amz-") and name.lower() not in signed:
                raise Refusal("AccessDenied", 403, f"{name} is not signed")
        assert "host" in signed
        quote = lambda text: urllib.parse.quote(text, safe="-._~")  # noqa: E731
        canonical_query = "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(urllib.parse.parse_qsl(url.query, keep_blank_values=True)))
        canonical = "\n".join([
            request.command, "/".join(quote(part) for part in urllib.parse.unquote(url.path).split("/")), canonical_query,
            "".join(f"{name}:{re.sub(' +', ' ', request.headers[name].strip())}\n" for name in signed), ";".join(signed), hashed])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, f"{date}/{region}/s3/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in (date, region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, fields["Signature"]):
            raise Refusal("SignatureDoesNotMatch", 403)

    # The actions, under the lock.

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refusal("NoSuchBucket", 404)
        return self.buckets[name]

    def do_CreateBucket(self, bucket, key, query, headers, body):
        if bucket in self.buckets:
            raise Refusal("BucketAlreadyOwnedByYou", 409)
        found = re.search(rb"<LocationConstraint>(.*?)</LocationConstraint>", body)
        self.locations[bucket] = found[1].decode() if found else "us-east-1"
        self.buckets[bucket] = Bucket()
        return 200, {}, b""

    def do_PutObject(self, bucket, key, query, headers, body):
        self.bucket(bucket).objects[key] = body
        self.bucket(bucket).headers[key] = {name.lower(): value for name, value in headers.items()}
        return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""

    def do_CreateMultipartUpload(self, bucket, key, query, headers, body):
        upload = uuid.uuid4().hex + "+/=&"  # ids are to be encoded
        self.bucket(bucket).uploads[upload] = {"key": key, "parts": {}, "headers": {n.lower(): v for n, v in headers.items()}}
        escaped = upload.replace("&", "&amp;")
        return 200, {}, f"<InitiateMultipartUploadResult><UploadId>{escaped}</UploadId></InitiateMultipartUploadResult>".encode()

    def upload(self, bucket, key, query) -> dict:
        upload = self.bucket(bucket).uploads.get(query["uploadId"])
        if not upload or upload["key"] != key:
            raise Refusal("NoSuchUpload", 404)
        return upload

    def do_UploadPart(self, bucket, key, query, headers, body):
        self.upload(bucket, key, query)["parts"][int(query["partNumber"])] = body
        return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""

    def do_CompleteMultipartUpload(self, bucket, key, query, headers, body):
        upload = self.upload(bucket, key, query)
        parts = [(int(n), etag.replace("&quot;", '"')) for n, etag in
                 re.findall(r"<Part><PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag></Part>", body.decode())]
        whole = b""
        for place, (number, etag) in enumerate(parts):
            part = upload["parts"].get(number)
            if part is None or f'"{hashlib.md5(part).hexdigest()}"' != etag:
                raise Refusal("InvalidPart", 400)
            if place + 1 < len(parts) and len(part) < 5 << 20:
                raise Refusal("EntityTooSmall", 400)
            whole += part
        self.bucket(bucket).objects[key] = whole
        self.bucket(bucket).headers[key] = upload["headers"]
        del self.bucket(bucket).uploads[query["uploadId"]]
        return 200, {}, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"

    def do_AbortMultipartUpload(self, bucket, key, query, headers, body):
        self.upload(bucket, key, query)
        del self.bucket(bucket).uploads[query["uploadId"]]
        return 204, {}, b""

    def do_GetObject(self, bucket, key, query, headers, body):
        data = self.bucket(bucket).objects.get(key)
        if data is None:
            raise Refusal("NoSuchKey", 404)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range", ""))
        kept = {name: value for name, value in self.bucket(bucket).headers[key].items() if name.startswith("x-amz-meta-")}
        if not wanted:
            return 200, kept, data
        first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
        if first >= len(data):
            raise Refusal("InvalidRange", 416)
        return 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}", **kept}, data[first:last + 1]

    def do_DeleteObject(self, bucket, key, query, headers, body):
        self.bucket(bucket).objects.pop(key, None)
        return 204, {}, b""

    def do_ListBucket(self, bucket, key, query, headers, body):
        """ListObjectsV2. The token is nothing that a client could guess, and has letters that are to be encoded."""
        if query.get("list-type") != "2":
            raise Refusal("NotImplemented", 501, "only ListObjectsV2")
        token = query.get("continuation-token")
        after = base64.b64decode(token.removeprefix("+/=&")).decode() if token else query.get("start-after", "")
        found = sorted((k for k in self.bucket(bucket).objects if k.startswith(query.get("prefix", "")) and k.encode() > after.encode()),
                       key=lambda k: k.encode())
        size = min(self.page, int(query.get("max-keys", "1000")))
        rows = "".join(f"<Contents><Key>{html.escape(k)}</Key><Size>{len(self.bucket(bucket).objects[k])}</Size></Contents>" for k in found[:size])
        more = len(found) > size
        following = f"<NextContinuationToken>+/=&amp;{base64.b64encode(found[size - 1].encode()).decode()}</NextContinuationToken>" if more else ""
        return 200, {}, (f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                         f"<Name>{bucket}</Name><IsTruncated>{str(more).lower()}</IsTruncated>{rows}{following}</ListBucketResult>").encode()

    def do_HeadObject(self, *_):
        raise Refusal("Forbidden", 403)

    do_HeadBucket = do_Unknown = do_HeadObject
