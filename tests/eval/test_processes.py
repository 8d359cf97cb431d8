"""What torchrun's variables may say."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.processes import check_environment, ensure_home


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"RANK": "-1"}, "expected RANK to be a whole number of at least 0; got '-1'; unset it, or use torchrun"),
        ({"RANK": "first"}, "expected RANK to be a whole number of at least 0; got 'first'"),
        ({"WORLD_SIZE": ""}, "expected WORLD_SIZE to be a whole number of at least 0; got ''"),
        ({"WORLD_SIZE": "0"}, "expected RANK below WORLD_SIZE; got RANK=0 and WORLD_SIZE=0; unset both"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "expected RANK below WORLD_SIZE; got RANK=2 and WORLD_SIZE=2"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "expected MASTER_ADDR and MASTER_PORT beside WORLD_SIZE=2; got none"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}, "expected MASTER_PORT beside WORLD_SIZE=2"),
    ],
)
def test_variables_that_cannot_be(monkeypatch, variables, text):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    check_environment()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        check_environment()
    assert str(caught.value).startswith(text)


def test_a_container_without_home_and_user_gets_stand_ins(monkeypatch):
    import pwd

    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()
    ensure_home()
    assert Path.home().is_dir()
    assert getpass.getuser() == "nobody"


def test_a_home_that_is_there_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_home()
    assert Path.home() == tmp_path
