"""Real processes on one SQLite file: what crashes, pauses and locks of others do to jobs that several nodes share."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator

import pytest
from cluster.counting_crash import check_kills_while_runs_are_counted
from cluster.overdue_crash import check_kill_before_jobs_are_overdue
from cluster.overlap_crash import check_kill_while_an_instant_waits
from cluster.retry_crashes import RETRY_POINTS, check_crash_while_retrying
from cluster.rig import SQLiteCluster, scratch
from waiting import wait_until

IN_A_CONTAINER = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--pid", "--fork"]
IN_A_CONTAINER += ["--mount-proc", "--kill-child"]


@pytest.fixture
def cluster() -> Iterator[SQLiteCluster]:
    with scratch() as directory:
        made = SQLiteCluster(directory)
        yield made
        made.close()


def test_two_processes_share_the_jobs_and_hand_them_over_when_one_ends(cluster: SQLiteCluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20, coalesce=False, max_instances=10)
    cluster.wait_until_all_run(jobs, time.time() + 1)
    assert {line["node"] for line in cluster.starts()} == {"a", "b"}
    cluster.stop("a")
    cluster.wait_until_all_run(jobs, time.time() + 1)
    verdict = cluster.stop_and_check()
    assert verdict.counts["run"] == verdict.counts["instants"]


def test_the_jobs_of_a_process_that_was_killed_run_in_another_one(cluster: SQLiteCluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20, recover=True)
    cluster.wait_until_all_run(jobs, time.time())
    cluster.wait_until_all_run(jobs, cluster.kill("a"))
    assert cluster.stop_and_check().counts["run"]


def test_a_process_that_was_frozen_for_too_long_claims_nothing_when_it_goes_on(cluster: SQLiteCluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20)
    cluster.wait_until_all_run(jobs, time.time())
    frozen = cluster.freeze("a")
    cluster.wait_for_event("node.died", since=frozen, node_name="b")
    cluster.thaw("a")
    cluster.wait_for_event("node.fenced", since=frozen, node_name="a")
    cluster.wait_until_balanced()
    cluster.stop_and_check()


@pytest.mark.parametrize("point", ["claim", "start", "run", "settle", "transaction"])
def test_a_crash_at_a_point_leaves_no_instant_without_an_outcome(cluster: SQLiteCluster, point: str) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(20, recover=True)
    cluster.start_and_wait("b", crash=point)
    wait_until(lambda: cluster.starts(node="b"), "runs on b")
    cluster.nodes["b"].arm()
    cluster.wait_until_all_run(jobs, cluster.note_crash("b"))
    cluster.stop_and_check()


@pytest.mark.parametrize("point", RETRY_POINTS)
def test_a_run_has_one_outcome_and_no_attempt_begins_twice_if_a_crash_comes_while_it_is_retried(
    cluster: SQLiteCluster, point: str
) -> None:
    check_crash_while_retrying(cluster, point)


def test_a_process_that_is_frozen_in_a_write_transaction_holds_up_the_others_until_it_is_killed(
    cluster: SQLiteCluster,
) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(20, recover=True)
    cluster.start_and_wait("b", crash="transaction", freezes=True)
    frozen = cluster.freeze_at_its_point("b")
    cluster.ended.setdefault("database", []).append(frozen)
    cluster.wait_for_event("store.disconnected", since=frozen, node_name="a")
    killed = cluster.kill("b")
    cluster.wait_for_event("store.connected", since=killed, node_name="a")
    cluster.wait_until_all_run(jobs, time.time())
    cluster.stop_and_check()


def test_processes_in_two_containers_share_the_file_of_one_volume(cluster: SQLiteCluster) -> None:
    cluster.start_and_wait("a", "b", within=IN_A_CONTAINER)
    jobs = cluster.add_ticks(20, recover=True)
    cluster.wait_until_all_run(jobs, time.time())
    assert {line["node"] for line in cluster.starts()} == {"a", "b"}
    killed = cluster.kill("a")
    cluster.wait_for_event("node.died", since=killed, node_name="b")
    cluster.wait_until_all_run(jobs, killed)
    cluster.stop_and_check()


def test_while_another_program_holds_the_lock_nothing_is_claimed_and_then_all_goes_on(cluster: SQLiteCluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(10)
    cluster.wait_until_all_run(jobs, time.time())
    shell = sqlite3.connect(cluster.directory / "jobs.sqlite", isolation_level=None)
    held = time.time()
    shell.execute("BEGIN IMMEDIATE")
    cluster.ended.setdefault("database", []).append(held)
    cluster.wait_for_event("store.disconnected", since=held, node_name="a")
    shell.execute("ROLLBACK")
    cluster.wait_for_event("store.connected", since=held, node_name="a")
    cluster.wait_until_all_run(jobs, time.time())
    shell.close()
    cluster.stop_and_check()


def test_a_run_that_is_asked_for_in_one_process_begins_in_another_one(cluster: SQLiteCluster) -> None:
    cluster.start_and_wait("a")
    (job,) = cluster.add_ticks(1, seconds=3600)
    asked = time.time()
    cluster.scheduler.run_job(job)
    cluster.wait_for_start(job, asked)
    cluster.stop()


def test_an_instant_that_waits_for_a_run_runs_elsewhere_when_the_process_is_killed(cluster: SQLiteCluster) -> None:
    check_kill_while_an_instant_waits(cluster)


def test_a_job_ends_after_so_many_runs_whatever_nodes_are_killed_meanwhile(cluster: SQLiteCluster) -> None:
    check_kills_while_runs_are_counted(cluster)


def test_the_node_that_takes_over_tells_once_of_jobs_that_become_overdue_after_a_kill(cluster: SQLiteCluster) -> None:
    check_kill_before_jobs_are_overdue(cluster)
