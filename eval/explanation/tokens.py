"""Tokens as text that a prompt, a table and a page can hold: no raw tab, newline, control sign or half character."""

from __future__ import annotations

from functools import lru_cache

_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "\ufffd": "\ufffd"}


@lru_cache(maxsize=1 << 17)
def visible(token: str) -> str:
    """The token with tabs, newlines, backslashes and unprintable signs escaped; spaces and letters as they are.

    Half a UTF-8 character decodes to the replacement sign, which stays. An empty token shows as ``\\0``.
    """
    if not token:
        return "\\0"
    return "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\u{ord(c):04x}") for c in token)
