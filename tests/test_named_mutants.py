"""Every named mistake stands in the file it names and has tests; `make mutants-named` lets them notice it."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.named_mutants import NAMED, ROOT, Named


@pytest.mark.parametrize("one", NAMED, ids=lambda one: one.name)
def test_a_mistake_changes_its_file_and_its_tests_are_there(one: Named) -> None:
    text = (ROOT / one.file).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(one.source)) != ast.dump(ast.parse(text))
    assert (ROOT / one.tests.partition("::")[0]).is_file()


def test_a_text_that_is_gone_is_named() -> None:
    gone = Named("x", "eval/errors.py", "no such text", "", "tests/test_named_mutants.py")
    with pytest.raises(ValueError, match="x: expected 'no such text' once in eval/errors.py; got it 0 times"):
        _ = gone.source


@pytest.mark.slow
def test_their_tests_notice_every_one() -> None:
    found = subprocess.run([sys.executable, "tests/named_mutants.py"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-3000:]
