"""The daily budget for embedding, and the estimated cost of requests under way."""

from __future__ import annotations

from service import errors
from service.domain.claims import Reservation

# How fast a high price is forgotten: a request reserves at least this share of the estimate that
# the last request of about its size would have had.
PRICE_DECAY = 0.9


class BatchTooCostly(errors.BudgetSpent):
    """The rest of today's budget may suffice for fewer texts."""


class RequestPrices:
    """Estimates what requests to one model cost, from requests that have succeeded.

    A provider may ask a fee for each request, so that tokens are cheaper in large requests. The
    prices of a token are therefore kept by the size of the request, to a power of two.
    """

    def __init__(self) -> None:
        self._usd_per_token: dict[int, float] = {}

    def learn(self, tokens: int, cost_usd: float) -> None:
        """Remember the cost of a request with about this many tokens."""
        size, usd_per_token = tokens.bit_length(), cost_usd / max(tokens, 1)
        # Not the last price alone, because providers route requests to upstreams of several prices.
        remembered = PRICE_DECAY * self._usd_per_token.get(size, 0.0)
        self._usd_per_token = self._usd_per_token | {size: max(usd_per_token, remembered)}

    def estimate(self, tokens: int) -> float | None:
        """Return the cost of a request in US dollars; None before the first response."""
        prices = self._usd_per_token
        if not prices:
            return None
        # With a fee, a price of smaller requests is too high, which is on the safe side.
        smaller = [size for size in prices if size <= tokens.bit_length()]
        return tokens * prices[max(smaller) if smaller else min(prices)]


class Budget:
    """The most that embedding may cost on one day (UTC) in US dollars; None: no limit.

    Requests under way count with an estimated cost, or many of them could be sent for the last
    cent.
    """

    def __init__(self, usd_per_day: float | None) -> None:
        self._usd_per_day = usd_per_day

    def reserve(
        self, prices: RequestPrices, tokens: int, spent_usd: float, reserved_usd: float
    ) -> Reservation | None:
        """Return the budget for a request, or None if other requests have to end first.

        Args:
            prices: of the model.
            tokens: the estimated tokens of the request.
            spent_usd: today's cost.
            reserved_usd: what requests under way have reserved.

        Raises:
            BatchTooCostly: the request would exceed the budget even if it were the only one.
            BudgetSpent: nothing of the budget remains.
        """
        cost_usd = prices.estimate(tokens)
        if self._usd_per_day is None:
            return Reservation(cost_usd or 0.0, 0.0)
        rest_usd = self._usd_per_day - spent_usd
        if rest_usd <= 0:
            raise errors.BudgetSpent(
                f"today's embedding budget of {self._usd_per_day:g} US dollars is spent"
            )
        free_usd = rest_usd - reserved_usd
        if cost_usd is None:
            # Until the first response shows the price, a request may cost all that remains.
            return Reservation(0.0, free_usd) if free_usd > 0 else None
        if cost_usd > rest_usd:
            raise BatchTooCostly(
                f"the rest of today's embedding budget of {self._usd_per_day:g} US dollars does "
                "not suffice"
            )
        return Reservation(cost_usd, cost_usd) if cost_usd <= free_usd else None
