"""`python -m eval findings rerun TOPIC/NAME`: the commands of a finding, as they are printed, one after another."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval.errors import IncompleteError, UserError, known_name
from eval.findings.finding import Finding, read_topics
from eval.options import Options, option
from eval.progress import say

PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]{2,}\b")
"""A word that the reader of a finding fills in, like DICTIONARY."""


@dataclass(frozen=True, kw_only=True)
class RerunConfig(Options):
    """Run the commands of a finding as they are printed, in this folder; a number that differs is for you to judge."""

    finding: str = option("", "topic/name, e.g. spectra/embedded", positional=True)
    folder: str = option("docs/findings", "folder that holds topics.json and one folder for each topic")
    show: bool = option(False, "print the commands and run none")


def command(config: RerunConfig) -> str:
    """`python -m eval findings rerun`.

    Raises:
        UserError: no such finding, a command that is not complete or none of this suite's.
        IncompleteError: a command that ended with another status than 0; those after it were not run.
    """
    found = finding_named(config.finding, Path(config.folder))
    if found.no_command:
        raise UserError(f"expected a finding with a command; {config.finding} has none: {found.no_command}")
    lines = [words_of(line) for line in whole_lines(found.command)]
    if not config.show:
        for number, words in enumerate(lines):
            say(f"{number + 1} of {len(lines)}: {shlex.join(words)}")
            program = [sys.executable] if words[0] == "python" else [words[0]]
            status = subprocess.run([*program, *words[1:]], check=False).returncode
            if status:
                raise IncompleteError(
                    f"command {number + 1} of {len(lines)} ended with status {status}: {shlex.join(words)}"
                )
    return "\n".join(shlex.join(words) for words in lines)


def finding_named(reference: str, folder: Path) -> Finding:
    """The finding `topic/name`; raises `UserError` with the nearest where there is none."""
    found = {f"{topic.name}/{one.name}": one for topic in read_topics(folder) for one in topic.findings}
    return found[known_name(reference, found, "finding")]


def whole_lines(printed: Iterable[str]) -> list[str]:
    """Commands as one line each: a printed line that ends in a backslash goes on in the next."""
    return "\n".join(printed).replace("\\\n", " ").splitlines()


def words_of(line: str) -> list[str]:
    """A printed command as words; raises `UserError` for one with a word to fill in, or that is none of this project's.

    Of this project are `python -m MODULE`, `python tests/FILE.py` and `make TARGET`.
    """
    words = shlex.split(line)
    ours = words[:2] == ["python", "-m"] or re.match(r"(python tests/\S+\.py|make [a-z-]+$)", line)
    if not ours:
        raise UserError(
            f"expected a command that begins with `python -m`, `python tests/` or `make`; got {line!r}; run it yourself"
        )
    if blanks := PLACEHOLDER.findall(line):
        raise UserError(f"expected a complete command; {blanks[0]} is yours to fill in: {line}")
    return words
