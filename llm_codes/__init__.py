"""Hooked language models: spectra, spline codes, sparse features, circuits, explanation runs."""

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

# before the first import of `eval`: a file eval.py in the user's folder would be run in its place
runpy.run_path(str(Path(__file__).parents[1] / "eval" / "shadowing.py"), run_name="__shadowing__")

from eval.face import lazy  # noqa: E402

if TYPE_CHECKING:
    from eval.errors import UserError
    from eval.explanation.registry import register_explainer, register_simulator
    from eval.results import load_result
    from llm_codes.activation_store.store import ActivationStore
    from llm_codes.configs.inputs import HarvestOptions, InputsOptions, WindowsOptions
    from llm_codes.configs.spectra import SpectraOptions
    from llm_codes.configs.trajectories import TrajectoriesOptions
    from llm_codes.corpus import Corpus, load_corpus
    from llm_codes.inputs import Inputs, open_inputs
    from llm_codes.lenses.connectors.files import open_chain
    from llm_codes.lenses.connectors.study import train_connector
    from llm_codes.lenses.explain import chosen as units
    from llm_codes.lenses.explain.recording import record
    from llm_codes.lenses.explain.study import explain
    from llm_codes.lenses.graphs.edge_tests import edge_tests
    from llm_codes.lenses.graphs.rows import AttributionGraph
    from llm_codes.lenses.graphs.study import attribution_graph
    from llm_codes.lenses.patching.study import activation_patching
    from llm_codes.lenses.polytopes.study import polytopes
    from llm_codes.lenses.replacement.study import replacement_model
    from llm_codes.lenses.saes.evaluation import evaluate_dictionary
    from llm_codes.lenses.saes.shipped import load_dictionary
    from llm_codes.lenses.saes.study import train_sae
    from llm_codes.lenses.spectra.compare import compare, read_run
    from llm_codes.lenses.spectra.rows import Spectra
    from llm_codes.lenses.spectra.study import spectra
    from llm_codes.lenses.trajectories.rows import Trajectories
    from llm_codes.lenses.trajectories.study import trajectories
    from llm_codes.models import load_model, untrained_like
    from llm_codes.sites import Site, resolve_site, resolve_sites
    from llm_codes.steering import Model

    __version__: str

_PLACES = {
    "ActivationStore": "llm_codes.activation_store.store:ActivationStore",
    "AttributionGraph": "llm_codes.lenses.graphs.rows:AttributionGraph",
    "Corpus": "llm_codes.windows:Corpus",
    "HarvestOptions": "llm_codes.configs.inputs:HarvestOptions",
    "Inputs": "llm_codes.inputs:Inputs",
    "InputsOptions": "llm_codes.configs.inputs:InputsOptions",
    "Model": "llm_codes.steering:Model",
    "Site": "llm_codes.sites:Site",
    "Spectra": "llm_codes.lenses.spectra.rows:Spectra",
    "SpectraOptions": "llm_codes.configs.spectra:SpectraOptions",
    "Trajectories": "llm_codes.lenses.trajectories.rows:Trajectories",
    "TrajectoriesOptions": "llm_codes.configs.trajectories:TrajectoriesOptions",
    "UserError": "eval.errors:UserError",
    "WindowsOptions": "llm_codes.configs.inputs:WindowsOptions",
    "activation_patching": "llm_codes.lenses.patching.study:activation_patching",
    "attribution_graph": "llm_codes.lenses.graphs.study:attribution_graph",
    "compare": "llm_codes.lenses.spectra.compare:compare",
    "edge_tests": "llm_codes.lenses.graphs.edge_tests:edge_tests",
    "evaluate_dictionary": "llm_codes.lenses.saes.evaluation:evaluate_dictionary",
    "explain": "llm_codes.lenses.explain.study:explain",
    "load_dictionary": "llm_codes.lenses.saes.shipped:load_dictionary",
    "load_corpus": "llm_codes.corpus:load_corpus",
    "load_model": "llm_codes.models:load_model",
    "load_result": "eval.results:load_result",
    "open_chain": "llm_codes.lenses.connectors.files:open_chain",
    "open_inputs": "llm_codes.inputs:open_inputs",
    "polytopes": "llm_codes.lenses.polytopes.study:polytopes",
    "read_run": "llm_codes.lenses.spectra.compare:read_run",
    "record": "llm_codes.lenses.explain.recording:record",
    "register_explainer": "eval.explanation.registry:register_explainer",
    "register_simulator": "eval.explanation.registry:register_simulator",
    "replacement_model": "llm_codes.lenses.replacement.study:replacement_model",
    "resolve_site": "llm_codes.sites:resolve_site",
    "resolve_sites": "llm_codes.sites:resolve_sites",
    "spectra": "llm_codes.lenses.spectra.study:spectra",
    "train_connector": "llm_codes.lenses.connectors.study:train_connector",
    "train_sae": "llm_codes.lenses.saes.study:train_sae",
    "trajectories": "llm_codes.lenses.trajectories.study:trajectories",
    "units": "llm_codes.lenses.explain.chosen",
    "untrained_like": "llm_codes.models:untrained_like",
}
__all__ = [
    "ActivationStore",
    "AttributionGraph",
    "Corpus",
    "HarvestOptions",
    "Inputs",
    "InputsOptions",
    "Model",
    "Site",
    "Spectra",
    "SpectraOptions",
    "Trajectories",
    "TrajectoriesOptions",
    "UserError",
    "WindowsOptions",
    "__version__",
    "activation_patching",
    "attribution_graph",
    "compare",
    "edge_tests",
    "evaluate_dictionary",
    "explain",
    "load_corpus",
    "load_dictionary",
    "load_model",
    "load_result",
    "open_chain",
    "open_inputs",
    "polytopes",
    "read_run",
    "record",
    "register_explainer",
    "register_simulator",
    "replacement_model",
    "resolve_site",
    "resolve_sites",
    "spectra",
    "train_connector",
    "train_sae",
    "trajectories",
    "units",
    "untrained_like",
]
__getattr__, __dir__ = lazy(__name__, _PLACES)
