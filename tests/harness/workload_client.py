"""A workload: asks the Workload API on a socket, by stock gRPC. Each answer is a JSON line; an error is {"code", "details"}.

  workload_client.py FOLDER SOCKET HEADER METHOD [JSON of the request]

FOLDER has what protoc made of workload_api.proto; HEADER is the value of workload.spiffe.io, "-" for none.
"""
import base64
import json
import sys

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
import workload_api_pb2 as api  # noqa: E402

METHODS = {
    "FetchX509SVID": (api.X509SVIDRequest, api.X509SVIDResponse, True),
    "FetchX509Bundles": (api.X509BundlesRequest, api.X509BundlesResponse, True),
    "FetchJWTSVID": (api.JWTSVIDRequest, api.JWTSVIDResponse, False),
    "FetchJWTBundles": (api.JWTBundlesRequest, api.JWTBundlesResponse, True),
    "ValidateJWTSVID": (api.ValidateJWTSVIDRequest, api.ValidateJWTSVIDResponse, False),
}


def plain(value):
    """A message as JSON; bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "DESCRIPTOR"):
        if value.DESCRIPTOR.full_name == "google.protobuf.Struct":
            from google.protobuf.json_format import MessageToDict
            return MessageToDict(value)
        return {f.name: plain(getattr(value, f.name)) for f in value.DESCRIPTOR.fields}
    if hasattr(value, "items"):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (str, int, float, bool)):
        return value
    return [plain(v) for v in value]


def say(what):
    print(json.dumps(what), flush=True)


def main():
    _, _, socket, header, method, *request = sys.argv
    asks, answers, streams = METHODS[method]
    metadata = () if header == "-" else tuple(("workload.spiffe.io", v) for v in header.split(","))
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        kind = channel.unary_stream if streams else channel.unary_unary
        call = kind(f"/SpiffeWorkloadAPI/{method}", request_serializer=asks.SerializeToString, response_deserializer=answers.FromString)
        message = asks(**json.loads(request[0] if request else "{}"))
        try:
            got = call(message, metadata=metadata, timeout=None if streams else 60)
            for one in got if streams else [got]:
                say(plain(one))
        except grpc.RpcError as error:
            say({"code": error.code().name, "details": error.details()})


main()
