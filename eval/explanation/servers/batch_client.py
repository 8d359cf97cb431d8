"""A client whose requests go through the batch API (`servers.batches`): half the price, an answer within a day.

Everything else is the plain client's: the probe and the form of each request, the journal, the budget, the health. What
a batch brings no answer for is asked again in the next one; prices are those of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eval.errors import BudgetReachedError
from eval.explanation.servers.batches import Batches
from eval.explanation.servers.client import Client
from eval.explanation.servers.exchange import Request, Response, estimated_tokens


class BatchClient(Client):
    """`Client`, in rounds of batches. Raises as it does, and as `Batches` does."""

    async def _complete(self, waiting: dict[str, Request], deliver: Callable[[str, Response], None]) -> None:
        """The same through the batch API: rounds of batches until every request is answered or given up."""
        if self.settings.probe:
            await self._probe(dict.fromkeys(str(request.get("model")) for _, request in waiting.values()))
        left, attempt = dict(waiting), 0
        async with self._transport.client(self.settings.retries) as client:
            batches = Batches(client, self.journal, self.health, self._transport.headers(), self.settings.base_delay)
            while left:
                sent, reserved = self._affordable(left)
                for key in sent:
                    self.journal.asked(key, left[key][1])
                self.sent += len(sent)
                async for key, found in batches.answers(sent):
                    path, request = left[key]
                    response = self._read(path, request, sent[key][1], found, attempt)
                    if isinstance(response, Response):
                        del left[key]
                        deliver(key, self._finished(key, sent[key][1], response))
                self._purse.release(reserved)
                attempt = min(attempt + 1, self.settings.retries)
        self.health.finish()

    def _affordable(self, left: Mapping[str, Request]) -> tuple[dict[str, Request], float]:
        """As many of the requests, in the form their models take, as the budget allows; and what is set aside."""
        sent: dict[str, Request] = {}
        reserved = 0.0
        for key, (path, request) in left.items():
            most = dict(self._dialect(request).translate(request))
            price = self.price(*estimated_tokens(most))
            try:
                self._purse.reserve(price)
            except BudgetReachedError:
                if not sent:
                    raise
                break
            sent[key], reserved = (path, most), reserved + price
        return sent, reserved
