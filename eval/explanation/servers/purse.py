"""What a run may spend: one purse for the explainer's, the simulator's and the judge's server, each with its price."""

from __future__ import annotations

from eval.errors import BudgetReachedError
from eval.explanation.servers.journal import Journal


class Purse:
    """Money spent, set aside and left, in USD. budget: ``None`` is no limit.

    What earlier invocations paid is read from the journal; a reply that was kept without its price counts at the
    prices given (USD per million tokens).
    """

    def __init__(
        self, budget: float | None, journal: Journal, *, price_input: float = 0.0, price_output: float = 0.0
    ) -> None:
        self.budget, self.journal = budget, journal
        self._spent, self._reserved = journal.spent(price_input, price_output), 0.0

    def reserve(self, most: float) -> None:
        """Set the highest price of a request aside. Raises `BudgetReachedError` where that would exceed the budget."""
        if self.budget is not None and self._spent + self._reserved + most > self.budget:
            raise BudgetReachedError(
                f"the budget of ${self.budget:g} is reached (spent ${self._spent:.4f} in {self.journal.path.name}); "
                "every reply so far is kept: run the same command with a higher --budget-usd to continue"
            )
        self._reserved += most

    def release(self, most: float) -> None:
        """The request is answered or given up."""
        self._reserved -= most

    def paid(self, usd: float) -> None:
        """A reply was charged."""
        self._spent += usd
