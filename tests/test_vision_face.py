"""The face of the vision wing: every public name is there, importing it imports no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

import vision_codes

ROOT = Path(__file__).resolve().parent.parent


def test_every_public_name_is_there():
    assert all(getattr(vision_codes, name) is not None for name in vision_codes.__all__)
    assert set(vision_codes.__all__) == set(dir(vision_codes))


def test_a_typing_error_names_the_nearest():
    with pytest.raises(AttributeError, match="has no attribute 'polytope'; did you mean polytopes"):
        vision_codes.polytope  # noqa: B018


def test_importing_the_face_imports_no_torch():
    code = "import sys, vision_codes; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
