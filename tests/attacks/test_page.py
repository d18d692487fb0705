"""The page of promises names tests that exist."""

import re

from attacks.program import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (.+?\.(?: \(.*\))?) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 15
    files = list((ROOT / "tests").rglob("test_*.py"))
    tests = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    for promise, holders in rows:
        for name in re.findall(r"`([^`]+)`", holders):
            held = name in tests or any(str(file).endswith(f"/{name}") for file in files)
            assert held, f"{promise} {name} does not exist"
