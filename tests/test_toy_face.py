"""The face of the wing: rooms by name, nothing imported before it is used, nothing else public."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import toy


def test_importing_the_wing_imports_no_torch() -> None:
    code = "import sys, toy; assert 'torch' not in sys.modules; toy.capacity; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("room", [name for name in toy.__all__ if name != "__version__"])
def test_a_room_has_measure_judge_options_and_result(room: str) -> None:
    found = getattr(toy, room)
    assert found is importlib.import_module(f"toy.{room}")
    assert {"measure", "judge"} < set(found.__all__) and len(found.__all__) == 4
    assert all(getattr(found, name) is not None for name in found.__all__)
    assert set(found.__all__) <= set(dir(found))


def test_a_script_measures_and_judges() -> None:
    from toy import capacity

    found = capacity.measure(trials=100, layers=2, width=6, message=4, bits=2)
    assert found == capacity.CapacityResult.from_json(found.to_json())
    assert len(found.to_frame()) == 4
    assert {claim.kind for claim in capacity.judge(found)} >= {"statement of a source", "theorem", "self-test"}
    with pytest.raises(AttributeError, match="module 'toy.capacity' has no attribute 'mesure'; did you mean measure"):
        _ = capacity.mesure
