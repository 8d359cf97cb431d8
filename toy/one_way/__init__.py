"""One-way code: where can x be read in a network that computes g^x mod p?.

from toy import one_way

found = one_way.measure(prime_sets=["5+7"])  # a typed result: to_frame(), to_csv(), save()
one_way.judge(found)  # every claim with prediction, measurement, verdict
"""

from typing import TYPE_CHECKING

from eval.face import lazy

if TYPE_CHECKING:
    from toy.configs.one_way import OneWayOptions as OneWayOptions
    from toy.one_way.claims import judge as judge
    from toy.one_way.results import OneWayResult as OneWayResult
    from toy.one_way.study import measure as measure

_PLACES = {
    "OneWayOptions": "toy.configs.one_way:OneWayOptions",
    "OneWayResult": "toy.one_way.results:OneWayResult",
    "judge": "toy.one_way.claims:judge",
    "measure": "toy.one_way.study:measure",
}
__all__ = ["OneWayOptions", "OneWayResult", "judge", "measure"]
__getattr__, __dir__ = lazy(__name__, _PLACES)
