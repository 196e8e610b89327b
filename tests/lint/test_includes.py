"""The guard of the layers must be able to fail: it is run on small trees that break each of its rules."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from check_includes import check  # noqa: E402


def tree(tmp_path: Path, files: dict[str, str]) -> Path:
    (tmp_path / "CMakeLists.txt").write_text("add_subdirectory(base)\nadd_subdirectory(crypto)\nadd_subdirectory(net)\n")
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_product_itself_is_clean():
    assert check(ROOT / "src") == []


def test_downward_arrow_is_fine(tmp_path):
    assert check(tree(tmp_path, {"base/a.hh": "", "net/b.cc": '#include "base/a.hh"\n'})) == []


def test_upward_arrow_fails(tmp_path):
    problems = check(tree(tmp_path, {"base/a.cc": '#include "net/b.hh"\n', "net/b.hh": ""}))
    assert len(problems) == 1 and "base/ may not include net/b.hh" in problems[0]


def test_openssl_outside_crypto_fails(tmp_path):
    problems = check(tree(tmp_path, {"net/b.cc": "#include <openssl/evp.h>\n", "crypto/c.cc": "#include <openssl/evp.h>\n"}))
    assert len(problems) == 1 and "net/b.cc" in problems[0]


def test_circle_between_sub_folders_fails(tmp_path):
    problems = check(tree(tmp_path, {"net/x/a.hh": '#include "net/y/b.hh"\n', "net/y/b.hh": '#include "net/x/a.hh"\n'}))
    assert len(problems) == 1 and "circle" in problems[0]
