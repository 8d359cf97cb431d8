"""Results of the untrained model are used for what they are the control of, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_codes.lenses.saes import shipped
from llm_codes.lenses.saes.shipped import shipped_control

MADE = {"model": "a", "corpus": "b"}


def test_a_control_is_known_by_what_it_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "SHIPPED_TRANSCODERS", tmp_path)
    assert shipped_control("curves", MADE) is None, "none ships"
    (tmp_path / shipped.CONTROL).write_text(json.dumps({"curves": {"made_from": MADE, "curves": []}}))
    assert shipped_control("curves", MADE) == {"made_from": MADE, "curves": []}
    assert shipped_control("curves", MADE | {"corpus": "c"}) is None
    assert shipped_control("replacement", MADE) is None
