"""The claim protocol: how any number of processes share the jobs of one database, and run each instant once.

It knows no database and imports no driver. `ClaimDatabase` (database.py) is what it asks of one.

**Terms.** *Instant*: one time at which a job is due. *Node*: one process from joining to its end (`LiveNode`); a
process that joins again is a new node. *Slot*: one of 256 parts of the jobs, by a hash of the job's group, or of its
id if it has none (partition.py): all jobs of a group share a slot, and so an owner. *Owner*: the node that a slot
belongs to. *Fence* (in the database: epoch): how often a slot has changed hands. *Claim*: to make an instant one's
own, before it may run. *Watermark*: all instants up to this time are claimed, in the attached slots of a node.
*Acked*: all instants up to this time have ended, and that is written. *Admit*: let the watermark cover a new or
changed job. *Horizon*: jobs due later than this stay in the database. *Park*: keep a job that cannot be run, with the
reason. *Former schedule*: what a job was due by before a user changed it. *Recorded run*: a run in progress that has a
document of its own. *Waiting run*: a run at a time that no trigger gives, with a document of its own until it begins.
*Session*: what the steps of one node share (`Session`); what the node owns is its `Holdings`.

**What the database decides.** No clock and no message can decide these:

- whether a node is alive: its document. `advance` beats and raises the watermark if the node is alive; `bury` ends a
  node whose beat has not changed. Both are one atomic write on one document, so that one of them comes first.
- who owns a slot: `take_slots` takes free slots only, `release_slots` gives up by fence.
- whether a job is claimed: `admit`, in one transaction that finds the node alive and the jobs as they were read.
- what the time is: the database server's (server_time.py).

**When a node may trust its claim.** An answer to `advance` proves that the node was alive when the write was made. The
others bury it after a TTL without a beat, by their own elapsed time. So what the node had claimed is its own until one
TTL after it *sent* the advance, by its own elapsed time; the hub gets that moment as `Claimed.expires` and starts
nothing later. A node that finds itself dead drops everything and joins as a new node.

**When a node may rest.** A node beats once per tick (0.1 s). One that is alone and has nothing to do may beat once per
idle tick instead (1 s with SQLite, which pays for each write; beats.py). It may because a rest promises nothing:

- A claim reaches no further than without a rest: 250 ms beyond the beat. While the node rests, its watermark falls
  behind the clock. That is safe, for nothing is due there: the hub runs nothing beyond the watermark, and a successor
  begins at it.
- The node beats again 250 ms before the next instant is due, and at once when a job changes, a run is requested, or
  it is to stop. The turn that admits a new job advances the watermark first, so that the job waits for one write.
- A rest begins when all that was claimed has ended and that is written. So a crash in a rest leaves nothing uncertain.
- A claim is trusted for one TTL after the advance was sent, as always. An idle tick is at most a quarter of the TTL. So
  a newcomer sees each living node beat four times per TTL, whether it rests or not, and assumes nothing else.
- A node that rests looks at the other nodes with each beat. So it sees a newcomer within one idle tick of its joining,
  and then it beats once per tick until it is alone again.

**One turn** of the ownership greenlet (ownership.py), one step after the other:

1. settle: finish the steps that an error interrupted. Every write may have happened although it raised.
2. close late instants that have ended; advance the watermark to 250 ms ahead of the time, if a beat is due.
3. admit jobs that changed (admission.py), park those that cannot be run (parking.py), let retries wait and begin
   waiting runs (waiting_runs.py).
4. bury silent nodes, free the slots of dead ones, take the slots that this node should own (slots.py), and rescue the
   runs that were in progress there (rescue.py).
5. give away the slots that other nodes should own.
6. now and then: move the horizon, and look for changes that the feed has missed (rescan.py).

The hub gets the results as messages in the same order. No run waits for a database call.

**Invariants**, and the mutations in `tests/claims/simulation/mutations.py` that remove their guards. Without its guard
the simulation fails; what another guard makes good as well (`REDUNDANT` in test_simulation.py) has tests of its own.

- A node claims only while it is alive, and its watermark never goes back: `dead_nodes_advance`, `watermarks_go_back`,
  `burying_whatever_the_beat`, `nodes_are_dead_too_soon`, `processes_that_stand_still_count_as_ended`.
- Only what is claimed runs, and only while the claim is to be trusted: `hub_runs_what_is_not_claimed`,
  `claims_never_expire`, `claims_expire_too_late`, `hub_does_not_look_when_claims_expire`.
- A node rests only while nothing needs a beat: `nodes_rest_when_something_is_due`, `nodes_rest_when_jobs_change`,
  `nodes_rest_before_all_has_ended`, `nodes_rest_for_longer_than_the_ttl`, `nodes_rest_among_others`.
- A slot has one owner: `owned_slots_are_taken`, `slots_of_others_are_attached`, `releases_have_no_fence`,
  `slots_taken_by_mistake_are_kept`.
- A slot changes hands at the watermark up to which its owner claimed: `releases_at_an_earlier_watermark`,
  `hub_runs_released_jobs_on`, `hub_drops_released_jobs_at_once`.
- Only a live node admits jobs, and only as they are: `admission_by_dead_nodes`, `admission_of_other_revisions`,
  `ids_that_are_used_again_meet_their_past`.
- Whatever the watermark covers has been looked at: `watermark_passes_the_horizon`, `jobs_given_back_are_forgotten`,
  `parked_jobs_are_not_awaited`.
- Nothing that may have happened is taken for undone, or for done: `unsure_admissions_are_forgotten`,
  `unsure_attachments_are_forgotten`, `unsure_releases_are_forgotten`, `unsure_requests_are_forgotten`,
  `unsure_writes_are_believed_at_once`, `deaths_are_believed_before_a_majority_knows`.
- Acked never passes an instant that has not ended, or whose record is not written: `acked_follows_the_watermark`, the
  mutations whose names begin with `acked_does_not_wait_for`, `late_jobs_do_not_wait_for_records`,
  `late_admissions_leave_no_trace`, `slots_forget_from_when_they_are_open`, `leaving_says_that_all_has_ended`.
- What a dead node had in progress runs again or is lost, once: `uncertain_instants_are_forgotten`,
  `written_runs_are_forgotten`, `what_has_ended_runs_again`, `rescues_are_not_written_down`,
  `records_stay_with_dead_nodes`, `dead_nodes_write_runs_down`, `runs_that_ended_are_written_down_again`.
- A slot is given away when nothing in it is known to its owner alone: `releases_do_not_write_runs_down`,
  `releases_do_not_write_down_what_has_not_begun`, `releases_do_not_wait_for_records`,
  `runs_count_as_recorded_too_soon`, `stopping_does_not_wait_for_the_last_claim`.
- A user's change takes no instant away in silence: the mutations whose names begin with `former_schedules`,
  `users_copy_no_schedule`, `schedules_end_that_are_not_as_they_were_copied`,
  `what_former_schedules_decided_is_due_again`, `paused_jobs_are_resumed_with_dates_that_were_decided`,
  `dates_are_due_again_at_the_end_of_their_pauses`, `pauses_that_were_ended_early_repeat_what_was_decided`.
- A job that gets another group, and so another slot, is left by one owner before the other takes it:
  `jobs_are_admitted_though_other_nodes_have_them`, `jobs_are_handed_on_with_what_was_decided`,
  `jobs_are_handed_on_with_runs_in_progress`, `jobs_are_not_read_again_when_they_are_handed_on`,
  `recovered_runs_stay_with_the_former_group`.
- Of a group no more runs are in progress, and no more begin, than its limit allows: `groups_have_no_limits`,
  `runs_elsewhere_do_not_count_for_limits`, `buckets_are_full_after_a_takeover`.
- A waiting run begins once, on a live node: `dead_nodes_begin_requests`, `requests_begin_that_others_took`,
  `waiting_runs_begin_before_they_count_as_in_progress`, `runs_of_removed_jobs_wait_for_ever`,
  `ended_jobs_are_removed_with_their_requests`, `runs_that_have_not_begun_stay_with_a_node_that_leaves`.
- A failed attempt and the one that follows it are one run, with one end: `failed_attempts_count_as_ended_at_once`,
  `dead_nodes_add_retries`, `rescues_know_no_later_attempts`, `runs_of_fenced_nodes_are_retried`,
  `jobs_end_before_their_retries`, `slots_are_given_away_before_retries_are_added`, `stopping_waits_once_for_retries`.
- A parked job is late when it is healed, and repeats nothing: `parked_jobs_stay_covered`, `dead_nodes_set_jobs_down`,
  `older_times_are_written_back`.
- Instants that wait for a free instance hold back nothing else, and are not lost: `backlogs_are_not_noted`,
  `backlogs_noted_by_dead_nodes`, `rescues_do_not_wait_for_a_free_instance`,
  `late_instants_after_a_takeover_are_skipped`.
- Of a job with `max_runs` no more runs begin, whatever crashes, and a job does not end before that:
  `counts_on_their_way_are_not_looked_at`, `counts_are_forgotten_when_jobs_leave`, `runs_on_dead_nodes_do_not_count`,
  `rescued_runs_begin_however_many_have_begun`, `rescued_runs_count_in_any_order`, `late_counts_take_runs_away`,
  `jobs_go_on_before_their_rescued_runs_count`, `releases_do_not_wait_for_counts`,
  `attempts_that_others_follow_do_not_count`, `instants_that_cannot_have_begun_are_rescued`.
"""
