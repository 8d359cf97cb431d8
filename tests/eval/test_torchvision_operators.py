"""The torchvision situation: mended where the compiled operators are missing, untouched where they are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from eval import torchvision_operators

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_the_allowed_set_imports_together():
    """Everything the suite stands on, in one fresh process, in the order that trips without the cure."""
    code = (
        "from eval.torchvision_operators import declare_missing_operators as d; d()\n"
        "import torchvision, torchvision.transforms.v2, torchvision.models\n"
        "import transformers, datasets, sklearn, openai, einops, numpy, sae_lens\n"
        "from transformers import GPT2LMHeadModel\n"
        "from transformer_lens.model_bridge import TransformerBridge\n"
        "import torch; m = torchvision.models.resnet18(weights=None).eval()\n"
        "print(m(torch.zeros(1, 3, 32, 32)).shape[1])"
    )
    out = python(code)
    assert out.returncode == 0, out.stderr[-2000:]
    assert out.stdout.strip() == "1000"


def test_declares_only_what_is_missing_and_only_once():
    code = (
        "from eval.torchvision_operators import declare_missing_operators as d, _compiled_library_loads as loads\n"
        "first = d(); print(bool(first) != loads(), d())"
    )
    assert python(code).stdout.split() == ["True", "[]"]


def test_does_nothing_with_a_matched_pair(monkeypatch):
    monkeypatch.setattr(torchvision_operators, "_compiled_library_loads", lambda: True)
    monkeypatch.setattr(torchvision_operators, "_kept_alive", [])
    assert torchvision_operators.declare_missing_operators() == []
    assert torchvision_operators._kept_alive == []
