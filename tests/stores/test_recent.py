"""A job's last outcomes: kept with its figures, in 256 bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from gsched import ConfigurationError, MemoryJobStore, MongoDBJobStore
from gsched.history.recent import CHARACTERS, KEPT, packed, read_packed, read_text, step_of, text_of
from gsched.history.records import LiveCounters
from gsched.history.retention import RetentionPolicy
from gsched.jobs.outcomes import SUCCEEDED_WITH_NONE, Outcome, Result, Span
from gsched.jobs.run import Run
from gsched.stores.durable.outcomes import OutcomeWriter
from gsched.times.instants import from_ms, to_ms

pytest_plugins = ["mongodb", "insight_rig"]

AT = to_ms(datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC))


# -- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.RETRIED])
def test_an_outcome_takes_eight_characters_and_is_read_as_it_was_written(outcome):
    number = packed(AT + 250, 40, 1500, outcome)
    text = text_of([number])
    assert len(text) == CHARACTERS and text.isascii() and text.isprintable() and not set(text) & set("$\\\"'.")
    assert read_text(text, AT) == read_packed([number])
    (read,) = read_text(text, AT)
    assert (read.scheduled_at, read.outcome) == (from_ms(AT), outcome)
    assert read.lateness == pytest.approx(0.040, rel=0.2) and read.duration == pytest.approx(1.5, rel=0.2)


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 9, 100, 2999, 3000, 60_000, 3_600_000, 86_400_000])
def test_durations_are_told_within_a_fifth(milliseconds):
    (read,) = read_packed([packed(AT, 0, milliseconds, Outcome.SUCCEEDED)])
    assert read.duration == pytest.approx(milliseconds / 1000, rel=0.2, abs=0.001)


def test_steps_grow_with_durations_and_reach_two_days():
    steps = [step_of(ms) for ms in range(0, 200_000_000, 99_991)]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 63


@pytest.mark.parametrize("years", [-30, -1, 0])
def test_the_second_is_told_apart_within_34_years(years):
    at = AT + years * 365 * 86_400_000
    (read,) = read_text(text_of([packed(at, 0, 0, Outcome.FAILED)]), AT)
    assert read.scheduled_at == from_ms(at)


@pytest.mark.parametrize("text", [None, 5, "", "short", "\x00" * 8, "é" * 16, "0000000?"])
def test_a_stored_value_that_is_no_text_of_outcomes_is_left_out(text):
    assert read_text(text, AT) == ()


# -- the ring -------------------------------------------------------------------------------------------------------


def run_at(scheduled, late=3, took=20):
    run = Run(SimpleNamespace(id="job"), scheduled, owner=None)
    run.started_ms, run.finished_ms = scheduled + late, scheduled + late + took
    return run


@pytest.mark.parametrize("late", [-5, 0, 3, 1023, 1024, 2047, 262_143, 262_144, 90_000_000])
@pytest.mark.parametrize("took", [-1, 0, 20, 1023, 1024, 2999])
@pytest.mark.parametrize(
    "store",
    [MemoryJobStore(), OutcomeWriter(None, None, None, None, retention=RetentionPolicy("none"), change_many=None)],
)
def test_stores_count_a_success_in_short_as_it_is_counted_at_length(store, late, took):
    short, long, run = LiveCounters(recent=True), LiveCounters(recent=True), run_at(AT, late, took)
    store._counters = {"job": short}
    (store.settle if isinstance(store, MemoryJobStore) else store.settle_briefly)(run, SUCCEEDED_WITH_NONE)
    long.count(run, SUCCEEDED_WITH_NONE)
    if isinstance(store, MemoryJobStore) or late + took < 2500:  # else it is settled at length
        assert short.last_outcomes() == long.last_outcomes() and short.snapshot() == long.snapshot()
        (outcome,) = short.snapshot().recent
        assert outcome.lateness == pytest.approx(max(late, 0) / 1000, rel=0.3, abs=0.001)


def test_the_last_32_outcomes_are_kept_and_the_oldest_come_first():
    counters = LiveCounters(recent=True)
    for number in range(40):
        counters.count(run_at(AT + number * 1000), SUCCEEDED_WITH_NONE)
    kept = [outcome.scheduled_at for outcome in counters.snapshot().recent]
    assert kept == [from_ms(AT + number * 1000) for number in range(40 - KEPT, 40)]


def test_figures_that_were_not_written_come_before_those_that_were_counted_since():
    earlier, later = LiveCounters(recent=True), LiveCounters(recent=True)
    for counters, first in ((earlier, 0), (later, 20)):
        for number in range(first, first + 20):
            counters.count(run_at(AT + number * 1000), Result(Outcome.SUCCEEDED))
    later.add_earlier(earlier)
    assert [each.scheduled_at for each in later.snapshot().recent] == [
        from_ms(AT + number * 1000) for number in range(40 - KEPT, 40)
    ]


def test_instants_without_a_run_count_and_runs_that_were_asked_for_do_not():
    counters = LiveCounters(recent=True)
    counters.count_span(Span(Outcome.MISSED, AT, AT + 1))
    asked = run_at(AT + 1000)
    asked.request = "r"
    counters.count(asked, Result(Outcome.SUCCEEDED))
    assert [each.outcome for each in counters.snapshot().recent] == ["missed"]


def test_instants_that_were_coalesced_do_not_drive_out_what_has_run():
    counters = LiveCounters(recent=True)
    counters.count(run_at(AT), SUCCEEDED_WITH_NONE)
    counters.count_span(Span(Outcome.COALESCED, AT + 1000, AT + 9000))
    assert ([each.outcome for each in counters.snapshot().recent], counters.runs) == (["succeeded"], 1)


def test_an_attempt_that_is_retried_counts_as_a_run_and_neither_as_a_failure_nor_as_the_outcome_of_its_instant():
    counters = LiveCounters(recent=True)
    for number in range(2):
        counters.count(run_at(AT, late=number * 1000), Result(Outcome.RETRIED, error=ValueError("no")))
    counters.count(run_at(AT, late=2000), SUCCEEDED_WITH_NONE)
    said = counters.snapshot()
    assert (said.runs, said.failures, said.last_error) == (3, 0, "retried: ValueError: no")
    assert [(each.scheduled_at, each.outcome) for each in said.recent] == [(from_ms(AT), "succeeded")]
    later = LiveCounters(recent=True)
    later.add_earlier(counters)
    assert later.snapshot() == said


def test_without_the_option_nothing_is_kept():
    counters = LiveCounters(recent=False)
    counters.count(run_at(AT), SUCCEEDED_WITH_NONE)
    counters.count_span(Span(Outcome.MISSED, AT, AT + 1))
    assert (counters.snapshot().recent, counters.runs) == ((), 1)


@pytest.mark.parametrize("value", [1, 31, -1, "32", True, None])
def test_other_numbers_are_refused(value):
    with pytest.raises(ConfigurationError, match="history_recent: expected 32 or 0"):
        MemoryJobStore(history_recent=value)
    with pytest.raises(ConfigurationError, match="history_recent: expected 32 or 0"):
        MongoDBJobStore("mongodb://nowhere", history_recent=value)


# -- in stores ------------------------------------------------------------------------------------------------------


def outcomes(bench, job_id):
    recent = bench.scheduler.get_counters(job_id).recent
    return [((each.scheduled_at - from_ms(bench.start_ms)).total_seconds(), each.outcome) for each in recent]


def test_a_job_keeps_its_last_outcomes_whatever_they_are(bench):
    fails = iter([True, False, True])

    def sometimes():
        if next(fails, False):
            raise ValueError

    bench.every(10, sometimes, id="job")
    bench.every(10, bench.wait, id="slow")
    bench.advance(45)
    assert outcomes(bench, "job") == [(10, "failed"), (20, "succeeded"), (30, "failed"), (40, "succeeded")]
    assert outcomes(bench, "slow") == [(20, "skipped"), (30, "skipped"), (40, "skipped")]


def test_outcomes_are_appended_in_the_database_and_the_oldest_go(uri, database):
    from gsched.stores.mongodb.history.records import _counting

    for begin in (0, 20, 40):
        counters = LiveCounters(recent=True)
        for number in range(begin, begin + 20):
            counters.count(run_at(AT + number * 1000), Result(Outcome.SUCCEEDED))
        database.jobs.update_one({"_id": "a"}, _counting(counters), upsert=True)
    written = database.jobs.find_one({"_id": "a"})["figures"]
    assert (written["runs"], written["failures"], len(written["recent"])) == (60, 0, KEPT * CHARACTERS)
    read = read_text(written["recent"], AT)
    assert [each.scheduled_at for each in read] == [from_ms(AT + number * 1000) for number in range(60 - KEPT, 60)]


@pytest.mark.parametrize("found", [None, 5, "é" * 300, {"a": 1}])
def test_whatever_people_write_there_keeps_no_figures_from_being_written(uri, database, found):
    from gsched.stores.mongodb.history.records import _counting

    counters = LiveCounters(recent=True)
    counters.count(run_at(AT), Result(Outcome.FAILED, error=ValueError("$a {'b'}")))
    database.jobs.insert_one({"_id": "a", "figures": {"recent": found, "last_duration": 7.0}})
    database.jobs.update_one({"_id": "a"}, _counting(counters))
    written = database.jobs.find_one({"_id": "a"})["figures"]
    assert (written["runs"], written["last_error"]) == (1, "failed: ValueError: $a {'b'}")
    assert read_text(written["recent"], AT)[-1].outcome == "failed"


# -- explain --------------------------------------------------------------------------------------------------------


def test_a_plain_success_is_on_record_by_default(bench):
    bench.every(10, id="job")
    bench.advance(35)
    told = bench.scheduler.explain("job", from_ms(bench.at(20)))
    assert (told.outcome, told.recorded) == ("succeeded", True)
    assert told.sentence == "succeeded, started 0 s late, took 0 s; one of the job's last 3 outcomes."


def test_without_last_outcomes_a_plain_success_is_inferred(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(history_recent=0)}).start()
    bench.every(10, id="job")
    bench.advance(35)
    told = bench.scheduler.explain("job", from_ms(bench.at(20)))
    assert (told.outcome, told.recorded) == ("succeeded", False)


def test_instants_older_than_the_last_outcomes_are_inferred(bench):
    bench.every(10, id="job")
    bench.advance(10 * (KEPT + 5))
    assert not bench.scheduler.explain("job", from_ms(bench.at(20))).recorded
    assert bench.scheduler.explain("job", from_ms(bench.at(10 * (KEPT + 5)))).recorded


def test_one_outcome_stands_for_all_instants_in_a_second_that_ended_alike(bench):
    bench.every(0.5, id="job")
    bench.advance(3)
    told = bench.scheduler.explain("job", from_ms(bench.at(1.5)))
    assert (told.outcome, told.recorded) == ("succeeded", True)


def test_no_outcome_is_inferred_for_instants_in_one_second_while_one_is_missing(bench):
    bench.every(0.4, id="job")
    bench.advance(0.5)  # of 0.4 and 0.8, the second is still to come
    told = bench.scheduler.explain("job", from_ms(bench.at(0.4)))
    assert (told.outcome, told.recorded) == ("succeeded", False)


def test_no_outcome_is_inferred_for_instants_in_one_second_that_ended_differently(bench):
    raises = iter([ValueError(), None])

    def work():
        if error := next(raises, None):
            raise error

    bench.every(0.5, work, id="job", start_date=from_ms(bench.at(1)))
    bench.advance(2)
    told = bench.scheduler.explain("job", from_ms(bench.at(1.5)))
    assert (told.outcome, told.recorded) == ("succeeded", False)


def test_a_plain_success_in_mongodb_is_on_record(rig):
    rig.node()
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    rig.add("job", trigger={"trigger": "interval", "seconds": 1, "start_date": begin, "coalesce": False})
    told = rig.wait_until(lambda: (found := rig.scheduler.explain("job", begin)).recorded and found, "the outcome")
    assert told.outcome == "succeeded" and "one of the job's last" in told.sentence
