"""Coding theory: what one neuron carries under dropout, cascades of layers, the price of a power-law code.

from toy import capacity

found = capacity.measure(trials=500)  # a typed result: to_frame(), to_csv(), save()
capacity.judge(found)  # every claim with prediction, measurement, verdict
"""

from typing import TYPE_CHECKING

from eval.face import lazy

if TYPE_CHECKING:
    from toy.capacity.claims import judge as judge
    from toy.capacity.results import CapacityResult as CapacityResult
    from toy.capacity.study import measure as measure
    from toy.configs.capacity import CapacityOptions as CapacityOptions

_PLACES = {
    "CapacityOptions": "toy.configs.capacity:CapacityOptions",
    "CapacityResult": "toy.capacity.results:CapacityResult",
    "judge": "toy.capacity.claims:judge",
    "measure": "toy.capacity.study:measure",
}
__all__ = ["CapacityOptions", "CapacityResult", "judge", "measure"]
__getattr__, __dir__ = lazy(__name__, _PLACES)
