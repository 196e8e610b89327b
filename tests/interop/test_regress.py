"""OpenSSH's own regress suite against our server: what regress/scripts.txt lists as passing passes, and nothing is left out."""
import os
from pathlib import Path

import pytest

from .regress.runner import SUITE, Suite, scripts

ALL = scripts()


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return Suite(Path(os.environ["MEZITE_BIN"]), tmp_path_factory.mktemp("regress"))


def test_every_script_of_the_package_is_in_the_table():
    present = {path.stem for path in SUITE.glob("*.sh")}
    listed = [script.name for script in ALL]
    assert len(listed) == len(set(listed))
    assert set(listed) == present
    assert all(script.reason for script in ALL if script.status == "skip" or script.edit)


@pytest.mark.parametrize("script", [s for s in ALL if s.status == "run" or (s.status == "full" and "MEZITE_INTEROP_FULL" in os.environ)],
                         ids=lambda script: script.name)
def test_script(script, suite):
    code, text = suite.run(script)
    assert code == 0, text[-6000:]
    assert "SKIPPED" not in text and "skipping" not in text.lower(), text[-2000:]
