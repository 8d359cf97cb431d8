"""Incidental polysemanticity: features that share a neuron by accident.

from toy import incidental

found = incidental.measure(sizes=["16x64"], seeds=8)  # a typed result: to_frame(), to_csv(), save()
incidental.judge(found)  # every claim with prediction, measurement, verdict
"""

from typing import TYPE_CHECKING

from eval.face import lazy

if TYPE_CHECKING:
    from toy.configs.incidental import IncidentalOptions as IncidentalOptions
    from toy.incidental.claims import judge as judge
    from toy.incidental.results import IncidentalResult as IncidentalResult
    from toy.incidental.study import measure as measure

_PLACES = {
    "IncidentalOptions": "toy.configs.incidental:IncidentalOptions",
    "IncidentalResult": "toy.incidental.results:IncidentalResult",
    "judge": "toy.incidental.claims:judge",
    "measure": "toy.incidental.study:measure",
}
__all__ = ["IncidentalOptions", "IncidentalResult", "judge", "measure"]
__getattr__, __dir__ = lazy(__name__, _PLACES)
