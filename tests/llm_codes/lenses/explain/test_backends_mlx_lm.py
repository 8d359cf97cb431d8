"""MLX-LM's server takes what a run asks: a tiny model with random weights, in an environment of its own.

pip install 'mlx[cpu]' mlx-lm
python -m mlx_lm server --model FOLDER --host 127.0.0.1 --port PORT
"""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from eval.torchvision_operators import declare_missing_operators
from tests.llm_codes.lenses.explain.real_servers import asked, running
from tests.llm_codes.lenses.explain.test_local_language_model import tiny_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PACKAGES = ("mlx[cpu]==0.32.4", "mlx-lm==0.32.2")
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes letters at random, with a chat template."""
    declare_missing_operators()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(False)
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    out = tmp_path_factory.mktemp("tiny")
    tokenizer.save_pretrained(out)
    LlamaForCausalLM(config).save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("mlx")
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"mlx does not install here: {installed.stderr.strip().splitlines()[-1][:200]}")

    def command(port: int) -> list[str]:
        return [python, "-m", "mlx_lm", "server", "--model", str(folder), "--host", "127.0.0.1", "--port", str(port)]

    with running(command, "/health", home / "log", HF_HUB_OFFLINE="1") as address:
        yield address


def test_what_a_run_asks_is_answered(url: str, folder: Path) -> None:
    found = asked(url, str(folder))
    assert found.abilities is not None and found.abilities.system_role
    assert found.abilities.logprobs == 11  # it refuses more: the probe asks again for as many as it names
    assert not found.abilities.json_schema and not found.client.failed
    assert found.explained.reason is None and found.explained.text
