"""What the claims of a database tell about an instant, as `explain` uses it."""

from __future__ import annotations

import pytest

from gsched.history.explanation import NEVER_BEFORE, Evidence
from gsched.stores.durable.evidence import JobTimes, Owner, SlotClaims, claim_evidence
from gsched.stores.messages import ALWAYS

NOW = 1_000_000
KNOWN = Evidence("all", 0)
JOB = JobTimes(admitted=True, next_run=100, begins=50, late_until=None)
OWNED = SlotClaims(watermark=200, acked=150, owner=Owner("a", watermark=900, acked=800))


def evidence(job: JobTimes = JOB, slot: SlotClaims | None = OWNED, instant: int = 500) -> Evidence:
    return claim_evidence(KNOWN, job, slot, instant, NOW)


@pytest.mark.parametrize(
    ("slot", "obstacle"),
    [(None, "no scheduler has run the jobs of this store yet"), (OWNED, "no node has taken it up yet")],
)
def test_of_a_job_that_is_not_admitted_nothing_is_decided_from_its_next_run_time_on(slot, obstacle):
    said = evidence(JOB._replace(admitted=slot is None), slot)
    assert (said.begins, said.decided, said.ended, said.obstacle) == (100, 100, 100, obstacle)


def test_of_a_job_that_is_never_due_everything_is_decided():
    said = evidence(JobTimes(False, None, None, None))
    assert (said.begins, said.decided, said.ended) == (NEVER_BEFORE, ALWAYS, ALWAYS)


def test_the_owner_of_the_slot_tells_what_is_decided_and_has_ended():
    said = evidence()
    assert (said.begins, said.steady, said.decided, said.ended, said.node) == (50, 100, 901, 801, "a")
    assert said.obstacle == "node a has it claimed up to 1970-01-01 00:00:00+00:00"


def test_of_a_slot_without_an_owner_the_slot_itself_tells():
    said = evidence(slot=OWNED._replace(owner=None, open_from=10))
    assert (said.decided, said.ended, said.node) == (201, 151, None)
    assert said.obstacle == "no node owns it at the moment; it is claimed up to 1970-01-01 00:00:00+00:00"


def test_what_was_claimed_before_the_owner_came_was_another_nodes():
    assert evidence(instant=200).node is None


def test_what_was_in_progress_when_the_owner_came_may_be_so_still():
    opened = OWNED._replace(open_from=120)
    assert (evidence(slot=opened, instant=200).ended, evidence(slot=opened, instant=201).ended) == (121, 801)


def test_what_was_late_at_the_admission_may_be_in_progress():
    late = JOB._replace(late_until=300)
    assert [evidence(late, instant=instant).ended for instant in (99, 100, 300, 301)] == [801, 100, 100, 801]
    assert evidence(late).begins == 100


def test_what_ended_in_the_last_seconds_may_not_be_written_yet():
    owner = Owner("a", NOW, NOW)
    assert evidence(slot=OWNED._replace(owner=owner)).ended == NOW - 5000
