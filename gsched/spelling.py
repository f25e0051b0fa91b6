"""Spelling: what somebody meant who wrote a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message, "; did you mean 'word'?"; empty if nothing known is like it.

    :param cutoff: how like it, 0-1
    """
    from difflib import get_close_matches  # only errors need it

    near = get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""
