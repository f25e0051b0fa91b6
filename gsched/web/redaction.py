"""Redaction: secrets leave no answer. Values with a secret's name are masked, and so is what texts say of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gsched.masking import MASK, is_secret, without_secrets

_PART: Final = 4000  # characters of a long text that are redacted at once
_LEAST: Final = 4  # characters of a secret that is looked for in other texts: shorter ones are in many words

# What an answer has under these keys stays as it is: ids and cursors, which requests name again, arguments, which are
# redacted by their names, long texts, which are redacted in parts, and the server's own words and times.
_KEPT: Final = frozenset(
    ("id", "job_id", "run_id", "latest_job_id", "example", "next", "rev", "args", "kwargs", "metadata", "text",
     "state", "outcome", "recent", "next_run_time", "at")
)  # fmt: skip

Redact = Callable[[str, Any], Any]
"""Gives what may be shown of a value. It gets the value's name, "" for one without a name, and the value. It is called
for each argument of a job and each value of its metadata, and for what is inside those that it gives back as they are;
and for each text that people have written, such as the message of an error."""


def redacted(name: str, value: Any) -> Any:
    """The default: a mask in place of values with a secret's name, and of the secrets that a text gives away."""
    if name and value is not None and not isinstance(value, bool) and is_secret(name):
        return MASK
    return without_secrets(value) if isinstance(value, str) else value


class Redaction:
    """Masks the secrets of one answer.

    :ivar redact: decides about each value
    """

    def __init__(self, redact: Redact = redacted) -> None:
        self.redact = redact
        self._secrets: set[str] = set()

    def named(self, name: str, value: Any) -> Any:
        """A value in JSON's types, redacted by its name and by the names in it."""
        shown = self.redact(name, value)
        if shown != value:
            if shown == MASK:
                self._secrets.update(_texts(value))
            return shown
        if isinstance(shown, dict):
            return {key: self.named(str(key), each) for key, each in shown.items()}
        return [self.named("", each) for each in shown] if isinstance(shown, list) else shown

    def arguments(self, func: Callable[..., Any] | None, args: Sequence[Any]) -> list[Any]:
        """Positional arguments in JSON's types, redacted by the names of the function's parameters.

        :param func: None if it is not there; then names are not known
        """
        names = list(_parameters(func)) if func is not None else []
        return [self.named(name, value) for name, value in zip(_padded(names, len(args)), args)]

    def whole(self, answer: Any, breathe: Callable[[], object] = lambda: None) -> Any:
        """The answer, in JSON's types. Its texts contain no secret, and none that was masked elsewhere in the answer.

        :param breathe: called once for each object in it
        """

        def shown(key: str, value: Any) -> Any:
            if isinstance(value, str):
                return value if key in _KEPT else self._text(value)
            if isinstance(value, dict):
                breathe()
                return {key: shown(key, each) for key, each in value.items()}
            return [shown(key, each) for each in value] if isinstance(value, list) else value

        return shown("", answer)

    def long_text(self, text: str, breathe: Callable[[], object]) -> str:
        """A text of many lines, redacted some lines at a time.

        :param breathe: called after each part
        """
        parts, part, size = [], list[str](), 0
        for line in text.splitlines(keepends=True):
            part.append(line)
            size += len(line)
            if size > _PART and not line.rstrip().endswith((":", "=")):  # what follows may be a value
                parts.append(self._text("".join(part)))
                breathe()
                part, size = [], 0
        return "".join([*parts, self._text("".join(part))])

    def _text(self, text: str) -> Any:
        if self._secrets:
            for secret in sorted(self._secrets, key=len, reverse=True):
                text = text.replace(secret, MASK)
        return self.redact("", text)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value that is masked, fit to be looked for elsewhere."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, (str, int, float)) and len(str(value)) >= _LEAST:
        yield str(value)


def _parameters(func: Callable[..., Any]) -> Iterator[str]:
    """The names of a function's positional parameters."""
    try:
        found = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none
        return
    for parameter in found:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL):
            yield parameter.name


def _padded(names: list[str], length: int) -> list[str]:
    """So many names; the last one, which may stand for all others, is repeated."""
    last = names[-1] if names else ""
    return [*names, *([last] * (length - len(names)))][:length]


def unmasked(given: Any, shown: Any, stored: Any) -> Any:
    """The value that a user means who has edited a redacted one: parts that were not edited keep their stored values.

    So a mask stands for the secret behind it, and a value that JSON cannot say stays what it is.

    :param given: what came back
    :param shown: what the user saw
    :param stored: what that stands for
    :raises ValueError: for a mask that stands for nothing
    """
    if given == shown:
        return stored
    if isinstance(given, dict):
        named, kept = (each if isinstance(each, Mapping) else {} for each in (shown, stored))
        return {key: unmasked(value, named.get(key), kept.get(key)) for key, value in given.items()}
    if isinstance(given, list):
        before, behind = (list(each) if isinstance(each, (list, tuple)) else [] for each in (shown, stored))
        padded = [*zip(before, behind), *([(None, None)] * len(given))]
        return [unmasked(value, *old) for value, old in zip(given, padded)]
    if isinstance(given, str) and MASK in given:
        raise ValueError(f"{MASK} stands for a secret that is not in this place: write the value itself")
    return given
