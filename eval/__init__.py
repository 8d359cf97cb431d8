"""Ground floor: arrays and text in, descriptions out. Knows no model, no hook and none of its sibling packages.

The face is for arrays of your own, without a model:

    from eval import action, cluster_codes, spectrum

`eval` shadows the builtin of that name: import names from it, never the package itself.
"""

from typing import TYPE_CHECKING

from eval.face import lazy
from eval.torchvision_operators import declare_before_torchvision

if TYPE_CHECKING:
    from eval.array_results import ArrayAction, ArraySpectrum, action, cluster_codes, spectrum
    from eval.errors import UserError
    from eval.measures.clustering.clusters import Clusters, cluster_points
    from eval.measures.dictionaries.directions import nmf_directions, pca_directions
    from eval.measures.spectra.spectrum import effective_rank, participation_ratio
    from eval.results import load_result
    from eval.scores import Score

    __version__: str

declare_before_torchvision()

_PLACES = {
    "ArrayAction": "eval.array_results:ArrayAction",
    "ArraySpectrum": "eval.array_results:ArraySpectrum",
    "Clusters": "eval.measures.clustering.clusters:Clusters",
    "Score": "eval.scores:Score",
    "UserError": "eval.errors:UserError",
    "action": "eval.array_results:action",
    "cluster_codes": "eval.array_results:cluster_codes",
    "cluster_points": "eval.measures.clustering.clusters:cluster_points",
    "effective_rank": "eval.measures.spectra.spectrum:effective_rank",
    "load_result": "eval.results:load_result",
    "nmf_directions": "eval.measures.dictionaries.directions:nmf_directions",
    "participation_ratio": "eval.measures.spectra.spectrum:participation_ratio",
    "pca_directions": "eval.measures.dictionaries.directions:pca_directions",
    "spectrum": "eval.array_results:spectrum",
}
__all__ = [
    "ArrayAction",
    "ArraySpectrum",
    "Clusters",
    "Score",
    "UserError",
    "__version__",
    "action",
    "cluster_codes",
    "cluster_points",
    "effective_rank",
    "load_result",
    "nmf_directions",
    "participation_ratio",
    "pca_directions",
    "spectrum",
]
__getattr__, __dir__ = lazy(__name__, _PLACES)
