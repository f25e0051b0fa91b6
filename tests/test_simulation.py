"""The claim protocol under seeded faults: the real hub and ownership code over a simulated database and time.

More seeds: python -m tests.simulation FIRST LAST
One of them, with its log: python -m tests.simulation --seed N --trace
"""

from __future__ import annotations

import pytest
from simulation.mutations import MUTATIONS
from simulation.simulation import Simulation

BLOCK = 100  # seeds per test
BLOCKS = 10
ENOUGH = 60  # seeds within which a missing guard shows

# Guards whose absence takes more seeds to show than a test should run: about 50, or more.
RARELY_SEEN = {
    "acked_does_not_wait_for_messages",
    "ended_jobs_are_removed_with_their_requests",
    "hub_does_not_look_when_claims_expire",
    "owned_slots_are_taken",
    "requests_are_not_written_down",
    "slots_of_others_are_attached",
    "admission_by_dead_nodes",
    "admission_of_other_revisions",
    "burying_whatever_the_beat",
    "ids_that_are_used_again_meet_their_past",
    "late_admissions_leave_no_trace",
    "leaving_says_that_all_has_ended",
    "releases_do_not_write_runs_down",
    "rescues_are_not_written_down",
    "slots_forget_from_when_they_are_open",
    "stopping_does_not_wait_for_the_last_claim",
    "unsure_admissions_are_forgotten",
    "unsure_requests_are_forgotten",
    "watermarks_go_back",
}


def problems_of(seed: int) -> list[str]:
    """What went wrong; an error in the code under test is a problem, too."""
    try:
        return Simulation(seed).run().problems
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_instant_is_claimed_once_and_has_an_outcome_whatever_goes_wrong(block: int) -> None:
    failed = {seed: problems_of(seed)[:3] for seed in range(block * BLOCK, (block + 1) * BLOCK)}
    failed = {seed: problems for seed, problems in failed.items() if problems}
    assert not failed, "replay with: python -m tests.simulation --seed N --trace"


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    assert Simulation(seed).run().digest == Simulation(seed).run().digest


@pytest.mark.parametrize("name", sorted(MUTATIONS.keys() - RARELY_SEEN))
def test_a_protocol_without_this_guard_fails(name: str) -> None:
    with MUTATIONS[name]():
        assert any(problems_of(seed) for seed in range(ENOUGH)), f"nobody misses the guard against {name}"
