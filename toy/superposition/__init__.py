"""Superposition: dimensions per feature against sparsity and the bound R, geometry, phase diagram.

from toy import superposition

found = superposition.measure(levels=5, steps=500)  # a typed result: to_frame(), to_csv(), save()
superposition.judge(found)  # every claim with prediction, measurement, verdict
"""

from typing import TYPE_CHECKING

from eval.face import lazy

if TYPE_CHECKING:
    from toy.configs.superposition import SuperpositionOptions as SuperpositionOptions
    from toy.superposition.claims import judge as judge
    from toy.superposition.results import SuperpositionResult as SuperpositionResult
    from toy.superposition.study import measure as measure

_PLACES = {
    "SuperpositionOptions": "toy.configs.superposition:SuperpositionOptions",
    "SuperpositionResult": "toy.superposition.results:SuperpositionResult",
    "judge": "toy.superposition.claims:judge",
    "measure": "toy.superposition.study:measure",
}
__all__ = ["SuperpositionOptions", "SuperpositionResult", "judge", "measure"]
__getattr__, __dir__ = lazy(__name__, _PLACES)
