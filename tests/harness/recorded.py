"""Sessions that are recorded, and what becomes of their recordings."""
from .cluster import Cluster
from .wait import until


def add_alice(cluster: Cluster) -> Cluster:
    """Somebody who may run commands on web-01."""
    cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    return cluster


def run(cluster: Cluster, command: str) -> str:
    """The id of the recorded session."""
    cluster.ssh("alice", "web-01", command)
    return cluster.wait_recording(lambda r: r.get("command") == command)["session_id"]


def storage_of(cluster: Cluster, session: str) -> str:
    return next(r["storage"] for r in cluster.recordings() if r["session_id"] == session)


def wait_stored(cluster: Cluster, *sessions: str):
    until(lambda: all(storage_of(cluster, session) == "s3" for session in sessions), "the recordings to be in S3")


def text_of(cluster: Cluster, session: str) -> str:
    return cluster.mezctl("recordings", "export", session, "--format=text")
