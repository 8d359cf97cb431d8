"""Seals: every changed byte is seen, what is damaged is set aside whole."""

from __future__ import annotations

import pytest

from eval.files import (
    atomic_path,
    is_intact,
    is_readable,
    read_seal,
    remove,
    seal,
    seal_path,
    sealed_path,
    set_aside,
)


def test_every_flipped_byte_is_seen(tmp_path):
    path = tmp_path / "moments.npz"
    content = bytes(range(64))
    path.write_bytes(content)
    seal(path, made="here")
    assert is_intact(path)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert not is_intact(path), place


@pytest.mark.parametrize("damage", [b"", b"half", b"null"])
def test_a_truncated_file_or_seal_is_not_intact(tmp_path, damage):
    path = tmp_path / "item.json"
    with sealed_path(path, made="here") as temporary:
        temporary.write_text('{"alpha": 1.0}')
    assert is_intact(path)
    assert read_seal(path)["made"] == "here"
    seal_path(path).write_bytes(damage)
    assert read_seal(path) is None
    assert not is_intact(path)
    seal(path)
    path.write_bytes(damage)
    assert not is_intact(path)


def test_a_file_that_failed_half_way_has_no_seal(tmp_path):
    with pytest.raises(RuntimeError), sealed_path(tmp_path / "a.npz") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_set_aside_takes_the_seal_along(tmp_path):
    for text in ("older", "newer"):
        with atomic_path(tmp_path / "a.json") as temporary:
            temporary.write_text(text)
        seal(tmp_path / "a.json")
        set_aside(tmp_path / "a.json", ".damaged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json.damaged", "a.json.damaged.seal"]
    assert (tmp_path / "a.json.damaged").read_text() == "newer"
    assert is_intact(tmp_path / "a.json.damaged")


def test_a_kill_between_seal_and_file_loses_neither(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    with sealed_path(path) as temporary:
        temporary.write_text("older")
    with monkeypatch.context() as patched:
        patched.setattr(type(path), "replace", replace_only_seals(type(path).replace))
        with pytest.raises(KeyboardInterrupt), sealed_path(path) as temporary:
            temporary.write_text("newer")
    assert path.read_text() == "older"
    assert is_intact(path)


def replace_only_seals(real):
    def replace(self, target):
        if not str(target).endswith(".seal"):
            raise KeyboardInterrupt
        return real(self, target)

    return replace


def test_a_checkpoint_that_is_not_whole_is_named_and_set_aside(tmp_path, capsys):
    path = tmp_path / "checkpoint.pt"
    assert not is_readable(path)
    with sealed_path(path) as temporary:
        temporary.write_text("whole")
    assert is_readable(path)
    path.write_text("whol")
    assert not is_readable(path)
    assert "checkpoint.pt is damaged, or has no seal: set aside as checkpoint.pt.damaged" in capsys.readouterr().err
    remove(tmp_path / "checkpoint.pt.damaged")
    assert list(tmp_path.iterdir()) == []
