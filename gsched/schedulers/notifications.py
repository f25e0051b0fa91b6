"""The notifications of a scheduler: what it gives to `gsched.notices`."""

from __future__ import annotations

from gsched.errors import GschedError
from gsched.notices.message import Composer
from gsched.notices.notice import Notice
from gsched.notices.service import Notices
from gsched.schedulers.components import Components
from gsched.schedulers.explaining import explained


def make_notices(components: Components) -> Notices:
    """What tells the scheduler's notifiers what happens. It keeps what is to be told in the store "default"."""

    def explain(notice: Notice) -> str | None:
        if notice.instant is None or not notice.job_id:
            return None
        try:
            found = explained(components, notice.job_id, notice.instant, notice.jobstore)
        except GschedError:  # the job is gone, or its store is not one of this scheduler's
            return None
        return str(found) if found.recorded else None  # else the error says more

    composer = Composer(components.name, explain, components.public_url)
    return Notices(
        components.notifiers, components.store("default").outbox(), composer, components.clock, components.bus
    )
