"""Trigger types by name: the built-in ones, then entry points of the group `gsched.triggers`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gsched.errors import InvalidTriggerError
from gsched.triggers.base import BaseTrigger
from gsched.wording import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP: Final = "gsched.triggers"
_BUILTIN: Final = {
    "date": ("gsched.triggers.date", "DateTrigger"),
    "interval": ("gsched.triggers.interval", "IntervalTrigger"),
    "cron": ("gsched.triggers.cron", "CronTrigger"),
    "calendarinterval": ("gsched.triggers.calendar_interval", "CalendarIntervalTrigger"),
    "and": ("gsched.triggers.combining", "AndTrigger"),
    "or": ("gsched.triggers.combining", "OrTrigger"),
    "reboot": ("gsched.triggers.reboot", "RebootTrigger"),
    "spread": ("gsched.triggers.spread", "SpreadTrigger"),
}


def is_crontab(text: str) -> bool:
    """True for what can only be a crontab's time fields or nickname, as no type's name can be."""
    return len(text.split()) > 1 or text.strip().startswith("@")


def trigger_from_fields(fields: Mapping[str, Any] | str) -> BaseTrigger:
    """The trigger of the type `fields["type"]`, made from the other fields; or that of a crontab's text.

    :raises InvalidTriggerError: for an unknown type and for fields that the type does not accept
    """
    if isinstance(fields, str):
        fields = {"type": "cron", "crontab": fields} if is_crontab(fields) else {"type": fields}
    if not isinstance(fields, Mapping) or not isinstance(fields.get("type"), str):
        raise InvalidTriggerError(f"trigger: expected a mapping with the key 'type', got {fields!r}")
    arguments = dict(fields)
    return trigger_class(arguments.pop("type")).from_fields(arguments)


def trigger_fields(trigger: BaseTrigger) -> dict[str, Any]:
    """The plain values from which `trigger_from_fields` makes an equal trigger."""
    return {"type": trigger.alias, **trigger.to_fields()}


def trigger_class(name: str) -> type[BaseTrigger]:
    """The trigger type of this name. Raises InvalidTriggerError for an unknown one, naming the nearest."""
    found: Any
    if name in _BUILTIN:
        module, attribute = _BUILTIN[name]
        found = getattr(import_module(module), attribute)
    elif name in _plugins():
        found = _load(_plugins()[name])
    else:
        raise InvalidTriggerError(_unknown(name))
    if not (isinstance(found, type) and issubclass(found, BaseTrigger)):
        raise InvalidTriggerError(f"trigger type {name!r}: {found!r} is not a BaseTrigger")
    return found


def _load(plugin: EntryPoint) -> object:
    try:
        return plugin.load()
    except (ImportError, AttributeError) as error:
        raise InvalidTriggerError(f"trigger type {plugin.name!r}: {plugin.value} cannot be loaded: {error}") from error


@lru_cache(maxsize=1)
def _plugins() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import, and few programs have any

    return {plugin.name: plugin for plugin in entry_points(group=ENTRY_POINT_GROUP)}


def _unknown(name: str) -> str:
    known = sorted({*_BUILTIN, *_plugins()})
    there_are = f"; there are {', '.join(known)}, and crontab lines such as '*/5 * * * *'"
    return f"trigger type {name!r} is unknown" + (did_you_mean(name, known) or there_are)
