"""Information through a very deep network under dropout, and self-tests of the estimators.

from toy import dropout_channel

found = dropout_channel.measure(layers=6, steps=500)  # a typed result: to_frame(), to_csv(), save()
dropout_channel.judge(found)  # every claim with prediction, measurement, verdict
"""

from typing import TYPE_CHECKING

from eval.face import lazy

if TYPE_CHECKING:
    from toy.configs.dropout_channel import DropoutChannelOptions as DropoutChannelOptions
    from toy.dropout_channel.claims import judge as judge
    from toy.dropout_channel.results import DropoutChannelResult as DropoutChannelResult
    from toy.dropout_channel.study import measure as measure

_PLACES = {
    "DropoutChannelOptions": "toy.configs.dropout_channel:DropoutChannelOptions",
    "DropoutChannelResult": "toy.dropout_channel.results:DropoutChannelResult",
    "judge": "toy.dropout_channel.claims:judge",
    "measure": "toy.dropout_channel.study:measure",
}
__all__ = ["DropoutChannelOptions", "DropoutChannelResult", "judge", "measure"]
__getattr__, __dir__ = lazy(__name__, _PLACES)
