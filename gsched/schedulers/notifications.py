"""The notifications of a scheduler: what it gives to `gsched.notices`."""

from __future__ import annotations

from typing import Final

from gsched.errors import GschedError, StoreError
from gsched.events.bus import EventBus
from gsched.history.outputs import output_of
from gsched.notices.message import Composer
from gsched.notices.notice import Notice
from gsched.notices.service import Notices
from gsched.schedulers.components import Components
from gsched.schedulers.explaining import explained

LONGEST_OUTPUT: Final = 20_000  # characters of a message


def make_notices(components: Components, bus: EventBus) -> Notices:
    """What tells the scheduler's notifiers what happens. It keeps what is to be told in the store "default".

    :param bus: publishes the scheduler's events, and those about notifiers
    """

    def explain(notice: Notice) -> str | None:
        if notice.instant is None or not notice.job_id:
            return None
        try:
            found = explained(components, notice.job_id, notice.instant, notice.jobstore)
        except GschedError:  # the job is gone, or its store is not one of this scheduler's
            return None
        return str(found) if found.recorded else None  # else the error says more

    def output(notice: Notice) -> str | None:
        if not notice.run_id or notice.jobstore not in components.stores:
            return None
        try:
            stored = components.store(notice.jobstore).output(notice.run_id, None)
        except StoreError:
            return None
        if stored is None:
            return None
        return output_of(notice.run_id, stored.attempt, stored.pieces, going_on=False).text[-LONGEST_OUTPUT:]

    composer = Composer(components.name, explain, output, components.public_url)
    return Notices(components.notifiers, components.store("default").outbox(), composer, components.clock, bus)
