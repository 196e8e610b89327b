import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.cluster import Cluster  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    """A hub, one agent (web-01, env=dev), and alice who may log in there; shared by the tests of a file."""
    made = Cluster()
    try:
        made.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [made.login]})
        made.user("alice", "developer")
        made.start_agent("web-01")
        made.login_as("alice")
        yield made
    except BaseException:
        print(made.hub.output()[-4000:])
        for agent in made.agents.values():
            print(agent.output()[-4000:])
        raise
    finally:
        made.close()


@pytest.fixture
def fresh():
    """Makes clusters for tests that break things; each is closed at the end."""
    made = []

    def make(**options) -> Cluster:
        made.append(Cluster(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()
