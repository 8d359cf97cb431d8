"""Every command that the README and the pages of docs print is one that today's suite takes, down to its values.

Commands are parsed as they would be, and not run.
"""

from __future__ import annotations

import re
import shlex

import pytest

from eval.errors import UserError
from eval.findings.rerun import whole_lines
from tests.printed_commands import check_command
from tests.test_readme import PAGES

BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
ASSIGNED = re.compile(r"(\w+)=(\S+)")
BEFORE = re.compile(r"^(nohup |torchrun --nproc-per-node \d+ )")


def commands_of(text: str) -> list[str]:
    """The commands of a page's `bash` blocks, comments and redirections left out, variables put in."""
    found: list[str] = []
    values: dict[str, str] = {}
    for language, body in BLOCK.findall(text):
        for line in whole_lines(body.splitlines()) if language == "bash" else ():
            command = re.sub(r"(\s|^)#.*$", "", line).strip()
            if all(ASSIGNED.fullmatch(word) for word in command.split()):
                values |= dict(ASSIGNED.findall(command))
                continue
            for name, value in values.items():
                command = command.replace(f"${name}", value)
            found.append(re.sub(r" (> .*|&)$", "", command))
    return found


COMMANDS = {page: commands_of(text) for page, text in PAGES.items() if commands_of(text)}


def checked(command: str) -> None:
    """Raises where a command of this project would be refused; `pip` is tried by the test of the distribution."""
    words = shlex.split(BEFORE.sub("", command))
    if words[0] == "pip":
        assert words[1] == "install"
    elif words[0] == "-m":
        check_command(["python", *words])
    else:
        check_command(words)


@pytest.mark.parametrize("page", COMMANDS)
def test_every_printed_command_is_one_that_the_suite_takes(page):
    for command in COMMANDS[page]:
        checked(command)


def test_no_command_hides_in_a_block_that_is_not_read():
    for page, text in PAGES.items():
        for language, body in BLOCK.findall(text):
            assert language or "python -m" not in body, f"{page}: write ```bash before {body[:60]!r}"
    assert sum(map(len, COMMANDS.values())) > 40


def test_variables_comments_and_redirections_are_read():
    text = "```bash\nIN=a/b  OUT=c\npython -m toy claims --out $IN   # why\nnohup python -m x > x.log 2>&1 &\n```\n"
    assert commands_of(text) == ["python -m toy claims --out a/b", "nohup python -m x"]


def test_a_flag_that_is_gone_and_a_target_that_is_not_there_are_seen():
    with pytest.raises(UserError, match="--fulll"):
        checked("python -m toy claims --out runs/claims --fulll")
    with pytest.raises(AssertionError, match="no target 'reports'"):
        checked("make reports")
