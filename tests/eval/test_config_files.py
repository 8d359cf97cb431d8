"""`--config`, `--set` and the `config.toml` of a run say what flags would say, and no more."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

import pytest

from eval import commands
from eval.commands import Command
from eval.config_files import expanded, toml_text
from eval.errors import UserError
from eval.options import Options, RunConfig, nested, option


@dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """How the fit is made."""

    fit_first: int = option(10, "first", at_least=1)
    sites: tuple[str, ...] = option(("a",), "places")
    limit: float | None = option(None, "limit")
    control: bool = option(True, "control")


@dataclass(frozen=True, kw_only=True)
class FitConfig(RunConfig):
    """Fit."""

    fit: FitOptions = nested(FitOptions())


def fit(config: FitConfig, run) -> str:
    run.finish({"done": True})
    return f"{config.fit} {config.seed}"


HERE = "tests.eval.test_config_files"
COMMANDS = (Command("fit", f"{HERE}:FitConfig", f"{HERE}:fit", "fit"),)


def run(*arguments: object) -> int:
    return commands.main("demo", "A demonstration.", COMMANDS, ["fit", *map(str, arguments)])


def test_a_file_then_set_then_flags(tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text('seed = 3\n[fit]\nfit-first = 2\nsites = ["x", "y"]\ncontrol = false\n')
    out = tmp_path / "run"
    assert run("--config", file, "--set", "limit=0.5", "--set", "fit_first=4", "--seed", "5", "--out", out) == 0
    assert capsys.readouterr().out == ("FitOptions(fit_first=4, sites=('x', 'y'), limit=0.5, control=False) 5\n")


def test_the_configuration_of_a_run_starts_the_same_run(tmp_path, capsys):
    assert run("--fit-first", "1e1", "--sites", "b, c", "--no-control", "--out", tmp_path / "a") == 0
    first = capsys.readouterr().out
    written = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert written["sites"] == ["b", "c"] and written["control"] is False and written["limit"] == "none"
    assert run("--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b") == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--set", "fit_frist=2"], "unknown option 'fit_frist' in --config or --set: did you mean fit-first"),
        (["--set", "fit_first"], "expected --set key=value; got 'fit_first'; write the key, =, and the value"),
        (["--set", "fit_first=0"], "expected --fit-first a whole number of at least 1; got 0"),
        (["--set", "control=perhaps"], "expected control to be true or false; got 'perhaps'"),
        (["--config", "nowhere.toml"], "expected a TOML file for --config; got nowhere.toml"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, capsys, arguments, text):
    assert run(*arguments, "--out", tmp_path / "run") == 2
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_toml(tmp_path):
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(UserError, match=r"expected TOML in .*bad.toml; got .*; mend the file"):
        expanded(["--config", str(tmp_path / "bad.toml")], FitConfig)


def test_words_with_quotes_and_line_ends_survive():
    text = 'a "b" \\ \n é'
    assert tomllib.loads(toml_text(FitConfig(out=text)))["out"] == text
