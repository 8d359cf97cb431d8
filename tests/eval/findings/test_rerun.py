"""A finding's commands are run as they are printed, the first that fails ends it, and what is not complete is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.findings.finding import read_topics
from eval.findings.rerun import whole_lines, words_of
from tests.printed_commands import check_command

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "findings"


def findings(folder: Path, *commands: str) -> list[str]:
    """A folder with one finding of these commands, and the arguments that run it."""
    (folder / "topic").mkdir()
    (folder / "topics.json").write_text(json.dumps({"topic": {"title": "T", "about": "A."}}))
    given = json.loads((FOLDER / "spectra" / "embedded.json").read_text(encoding="utf-8"))
    (folder / "topic" / "one.json").write_text(json.dumps(given | {"command": list(commands)}))
    return ["findings", "rerun", "topic/one", "--folder", str(folder)]


def test_commands_are_run_in_order_until_one_fails(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    for name, status in (("good", 0), ("bad", 3)):
        (tmp_path / f"{name}.py").write_text(f"import sys\nprint('{name}', sys.argv[1:])\nsys.exit({status})\n")
    arguments = findings(tmp_path, "python -m good --a '1 2'", "python -m bad", "python -m good --b")
    assert main(arguments) == 4
    said = capfd.readouterr()
    assert "good ['--a', '1 2']" in said.out and "bad []" in said.out and "--b" not in said.out
    assert "command 2 of 3 ended with status 3: python -m bad" in said.err


def test_shown_commands_are_not_run(tmp_path, capsys) -> None:
    assert main([*findings(tmp_path, "python -m nothing_of_the_kind"), "--show"]) == 0
    assert capsys.readouterr().out.strip() == "python -m nothing_of_the_kind"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rm -r runs", "expected a command that begins with `python -m`, `python tests/` or `make`; got 'rm -r runs'"),
        (
            "python -m llm_codes sae eval --sae DICTIONARY",
            "expected a complete command; DICTIONARY is yours to fill in",
        ),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is(line, words, tmp_path, capsys) -> None:
    assert main(findings(tmp_path, "python -m first", line)) == 2
    assert words in capsys.readouterr().err


def test_a_finding_that_is_not_there_is_named_with_the_nearest(capsys) -> None:
    assert main(["findings", "rerun", "spectra/embeded", "--folder", str(FOLDER)]) == 2
    assert "spectra/embedded" in capsys.readouterr().err


LINES = {
    f"{topic.name}/{one.name}": whole_lines(one.command) for topic in read_topics(FOLDER) for one in topic.findings
}


def test_a_line_that_ends_in_a_backslash_goes_on() -> None:
    assert whole_lines(["python -m a \\", "    --b 'c d'", "make x"]) == ["python -m a      --b 'c d'", "make x"]


def test_a_finding_has_commands_or_says_why_not(tmp_path, capsys) -> None:
    reasons = {f"{it.name}/{one.name}": one.no_command for it in read_topics(FOLDER) for one in it.findings}
    assert [name for name, lines in LINES.items() if bool(lines) == bool(reasons[name])] == []
    assert main(["findings", "rerun", "statements/audit", "--folder", str(FOLDER)]) == 2
    assert "has none: it compares an audit" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, lines in LINES.items() if lines])
def test_every_command_of_a_finding_can_be_run_as_printed(name: str) -> None:
    for line in LINES[name]:
        check_command(words_of(line))
