"""Is it worth going on? What stops a run at once, and the share of failed requests above which it stops.

| seen | then |
|---|---|
| 401; 403 and no good reply so far | the key is refused: exit status 2 |
| 402, 429 ``insufficient_quota`` | no quota is left: exit status 3 at once |
| nothing listens at the address | exit status 3 at once (after the retries where the server had answered before) |
| 403, 400 of one request after good replies | this request failed, with the server's text |
| more than ``max_failures`` of the requests failed or could not be read | exit status 3 |

Whatever stops a run, every reply so far is in the journal and the same command continues.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from eval.errors import StoppedError, UserError
from eval.explanation.servers.transport import Attempt

MINIMUM_REQUESTS = 20
"""The failing share is judged from this many finished requests on."""
MOST_FORBIDDEN = 5
"""So many 403 without one good reply mean the key, not the request."""
KEPT = "every reply so far is kept: run the same command to continue"


class Health:
    """Counts finished, failed and unreadable requests of one server.

    max_failures: the largest failing share, 0 to 1. Methods raise `StoppedError` or `UserError` to end the run.
    """

    def __init__(self, base_url: str, max_failures: float, key_variable: str = "OPENAI_API_KEY") -> None:
        self.base_url, self.max_failures, self.key_variable = base_url, max_failures, key_variable
        self.host = urlsplit(base_url).hostname
        self.finished = self.failed = self.good = self.forbidden = 0
        self.arrived, self.last = False, ""

    def look(self, attempt: Attempt, path: str, model: Any, *, last: bool) -> None:
        """Stop for what no further request can mend. last: no retry follows this attempt."""
        self.arrived |= attempt.status != 0
        if attempt.unreachable and (last or not self.arrived):
            raise StoppedError(
                f"no server answers at {self.base_url} ({attempt.problem}); start it or check --base-url; {KEPT}"
            )
        text = error_text(attempt.text)
        if attempt.status == 401:
            raise self.refused_key(401)
        if attempt.status == 402 or (attempt.status == 429 and is_quota(attempt.text)):
            raise StoppedError(f"{self.host} reports no quota left (HTTP {attempt.status}: {text}); top it up; {KEPT}")
        if attempt.status == 404:
            raise UserError(f"HTTP 404 for {path} and model {model!r}; check --base-url and the model name")

    def forbid(self) -> None:
        """A request was forbidden, and not for its log-probabilities: often before any good reply means the key."""
        self.forbidden += 1
        if self.forbidden >= MOST_FORBIDDEN and not self.good:
            raise self.refused_key(403)

    def refused_key(self, status: int) -> UserError:
        return UserError(f"{self.host} refused the key (HTTP {status}); expected a valid one in {self.key_variable}")

    def finish(self) -> None:
        """At the end of a batch: nothing but 403 means the key."""
        if self.forbidden and not self.good:
            raise self.refused_key(403)

    def answered(self) -> None:
        """A request that brought a reply."""
        self.finished += 1
        self.good += 1
        self._judge()

    def failed_request(self, reason: str) -> None:
        """A request that was given up."""
        self.finished += 1
        self.unreadable(reason)

    def unreadable(self, reason: str) -> None:
        """A reply that arrived (and was counted as answered) and cannot be read."""
        self.failed += 1
        self.last = reason
        self._judge()

    def _judge(self) -> None:
        if self.finished >= MINIMUM_REQUESTS and self.failed > self.max_failures * self.finished:
            raise StoppedError(
                f"{self.failed} of {self.finished} requests failed (last: {self.last}), more than --max-failures "
                f"{self.max_failures:g} allows; {KEPT}, or pass a higher --max-failures"
            )


def error_text(text: str) -> str:
    """A server's own words about a failure: its ``error.message``, else the body, in one line."""
    try:
        error = json.loads(text)["error"]
        return str(error.get("message", error) if isinstance(error, dict) else error)[:200]
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200] or "no text"


def is_quota(text: str) -> bool:
    """Whether a 429 says that the account is empty, not that requests come too fast."""
    return "insufficient_quota" in text or "exceeded your current quota" in text
