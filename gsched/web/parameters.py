"""The parameters of a request: each is checked, and an unknown one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gsched.checks import is_whole
from gsched.web.refusals import RequestRefused, invalid
from gsched.wording import did_you_mean

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

MOST_BODY_BYTES: Final = 1_000_000
MOST_IDS: Final = 200  # in a query
_DEEPEST: Final = 50  # lists and objects within each other
_FLAGS: Final = {None: False, "0": False, "1": True}


class Parameters:
    """Values by name. Each accessor takes its value; `check_none_left` refuses those that nobody has taken.

    :param given: several values of a name are a list
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)
        self._known: list[str] = []

    def take(self, name: str) -> Any:
        """The value as it came; None if there is none."""
        self._known.append(name)
        return self._given.pop(name, None)

    def has(self, name: str) -> bool:
        """True if there is such a value, null too."""
        return name in self._given

    def text(self, name: str) -> str | None:
        """A text."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise invalid(f"{name}: expected a text, got {value!r}")
        return value

    def needed(self, name: str) -> str:
        """A text that there must be."""
        value = self.text(name)
        if not value:
            raise invalid(f"{name}: it is missing", f"name it: {name}=...")
        return value

    def texts(self, name: str, most: int) -> list[str]:
        """Texts, each once, in their order; an empty list if there are none."""
        value = self.take(name)
        each = [value] if isinstance(value, str) else value or []
        if not isinstance(each, list) or not all(isinstance(item, str) for item in each):
            raise invalid(f"{name}: expected a list of texts, got {value!r}")
        if len(each) > most:
            raise invalid(f"{name}: at most {most} at once, got {len(each)}", "ask several times")
        return list(dict.fromkeys(each))

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self.take(name)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
            value = int(value)
        if value is None:
            return default
        if not is_whole(value, least) or value > most:
            raise invalid(f"{name}: expected a whole number from {least} to {most}, got {value!r}")
        return int(value)

    def flag(self, name: str) -> bool:
        """True or false; in a query 1 or 0."""
        value = self.take(name)
        meant = _FLAGS.get(value, value) if value is None or isinstance(value, str) else value
        if not isinstance(meant, bool):
            raise invalid(f"{name}: expected true or false, got {value!r}")
        return meant

    def one_of(self, name: str, known: Iterable[str]) -> str | None:
        """One of these texts."""
        value = self.text(name)
        if value is not None and value not in known:
            remedy = f"it is one of {', '.join(known)}"
            raise invalid(f"{name}: {value!r} is unknown{did_you_mean(value, known)}", remedy)
        return value

    def rest(self) -> dict[str, Any]:
        """The parameters that were not read yet."""
        left, self._given = self._given, {}
        return left

    def check_none_left(self) -> None:
        """Refuse values that nobody has asked for: a misspelt filter must not change more than was meant."""
        for name in self._given:
            known = ", ".join(self._known) or "none"
            raise invalid(f"{name}: it is unknown{did_you_mean(name, self._known)}", f"the parameters are: {known}")


def query_of(request: Request) -> Parameters:
    """The parameters in the address. A name that comes several times has a list of values."""
    given = {name: values[0] if len(values) == 1 else values for name, values in request.args.lists()}
    return Parameters(given)


def body_of(request: Request) -> Parameters:
    """The parameters in the body, a JSON object."""
    if (request.content_length or 0) > MOST_BODY_BYTES:
        raise _too_large()
    text = request.stream.read(MOST_BODY_BYTES + 1)  # a body without a length, too
    if len(text) > MOST_BODY_BYTES:
        raise _too_large()
    try:
        body = json.loads(text or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(body, dict):
        raise invalid("the body is not a JSON object", 'send {"id": ...}')
    _check_depth(body)
    return Parameters(body)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _too_large() -> RequestRefused:
    return RequestRefused(413, "too_large", f"the body has more than {MOST_BODY_BYTES} bytes", "send less at once")


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise invalid(f"the body has more than {_DEEPEST} lists and objects within each other")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _check_depth(each, depth + 1)
