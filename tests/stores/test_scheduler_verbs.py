"""The verbs on jobs: what users call, and what happens then."""

from __future__ import annotations

import asyncio
import functools
import io
import re
from datetime import UTC, datetime, timedelta

import gevent
import pytest

from gsched import (
    EVENT_JOB_ADDED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    AndTrigger,
    BaseTrigger,
    ConfigurationError,
    CronTrigger,
    FuncRefError,
    GreenletPoolExecutor,
    IntervalTrigger,
    InvalidJobError,
    InvalidTriggerError,
    JobIdConflictError,
    JobNotFoundError,
    MemoryJobStore,
    SchedulerNotRunningError,
    current_run,
)
from gsched.stores.messages import RunRequested, RunsElsewhere

NOON = datetime(2026, 3, 2, 12, 0)


def a_function(*args, **kwargs):
    return args, kwargs


# -- add_job --------------------------------------------------------------------------------------------------------


def test_a_job_without_a_trigger_runs_at_once_and_is_gone(bench):
    bench.add(args=["now"], id="once")
    bench.settle()
    assert bench.ran == [(0, "now")]
    assert bench.scheduler.get_job("once") is None
    assert [event.reason for event in bench.events("job.removed")] == ["trigger_ended"]


@pytest.mark.parametrize(
    ("trigger", "options", "due"),
    [
        ("interval", {"seconds": 10}, [10, 20, 30]),
        (IntervalTrigger(seconds=10), {}, [10, 20, 30]),
        ({"type": "interval", "seconds": 10}, {}, [10, 20, 30]),
        ("interval", {"minutes": 0.5, "start_date": "2026-03-02 12:00:05"}, [5, 35]),
        ("interval", {"seconds": 10, "end_date": "2026-03-02 12:00:20"}, [10, 20]),
        ("interval", {"seconds": 10, "start_date": "2010-10-10 09:30:03"}, [3, 13, 23, 33]),
        ("cron", {"second": "*/15"}, [0, 15, 30]),
        ("cron", {"second": "7"}, [7]),
        (CronTrigger(second="7", timezone="UTC"), {}, [7]),
        ("date", {"run_date": "2026-03-02 12:00:08"}, [8]),
        ("date", {"run_date": NOON + timedelta(seconds=8)}, [8]),
        ("date", {"run_date": datetime(2026, 3, 2, 12, 0, 8, tzinfo=UTC)}, [8]),
        ("date", {"run_date": "2009-11-06 16:30:05"}, [0]),
        ("date", {}, [0]),
        (None, {}, [0]),
        ("or", {"triggers": [IntervalTrigger(seconds=20, start_date="2026-03-02 12:00:04", timezone="UTC"),
                             CronTrigger(second="10", timezone="UTC")]}, [4, 10, 24]),
        (AndTrigger([CronTrigger(second="*/2", timezone="UTC"), CronTrigger(second="*/7", timezone="UTC")]), {},
         [0, 14, 28]),
        ("calendarinterval", {"days": 1, "hour": 12, "second": 9}, [9]),
        ("*/10 * * * * *", {"seconds": True}, [0, 10, 20, 30]),
        ("* * * * *", {}, [0]),
        ("@hourly", {}, [0]),
        ("or", {"triggers": ["* * * * *", {"type": "date", "run_date": "2026-03-02 12:00:08"}]}, [0, 8]),
    ],
)  # fmt: skip
def test_add_job_takes_every_form_of_trigger(bench, trigger, options, due):
    bench.add(None, trigger, **options)
    bench.advance(36)
    assert bench.ran == due


def test_a_crontab_line_is_a_trigger_wherever_one_is_given_as_text(bench):
    bench.scheduler.scheduled_job("*/5 * * * *", id="decorated")(a_function)
    bench.scheduler.add_jobs([{"func": a_function, "trigger": "*/5 * * * *", "id": "bulk"}])
    bench.every(10, id="rescheduled").reschedule("*/5 * * * *")
    bench.every(10, id="modified").modify(trigger="*/5 * * * *")
    assert {str(job.trigger) for job in bench.scheduler.get_jobs()} == {"cron[crontab='*/5 * * * *']"}


@pytest.mark.parametrize(
    ("trigger", "options", "reason"),
    [
        ("*/5 * * *", {}, "4 fields, expected 5"),
        ("every 5 minutes", {}, "3 fields, expected 5"),
        ("@dayly", {}, "not one of @hourly, @daily"),
        ("*/10 * * * * *", {}, "pass seconds=True"),
        ("61 * * * *", {}, "minute '61': 61 is not from 0 to 59"),
        ("5m", {}, "'5m' is unknown; there are and, calendarinterval"),
        ("*/5 * * * *", {"minute": 3}, "the argument 'minute' is unknown"),
    ],
)
def test_a_crontab_line_that_is_wrong_is_named_with_the_reason(bench, trigger, options, reason):
    with pytest.raises(InvalidTriggerError, match=re.escape(reason)):
        bench.add(trigger=trigger, **options)


def test_a_next_run_time_of_now_is_now(bench):
    bench.advance(3)
    bench.every(10, id="new", args=["new"], next_run_time="now")
    bench.every(10, id="old", args=["old"], next_run_time=None)
    bench.advance(1)
    bench.scheduler.modify_job("old", next_run_time="now")
    bench.advance(10)
    assert bench.ran == [(3, "new"), (4, "old"), (13, "new"), (14, "old")]


def test_a_naive_time_is_in_the_schedulers_zone(make_bench):
    bench = make_bench(timezone="Asia/Shanghai").start()
    job = bench.add(None, "date", run_date="2026-03-02 20:00:05")
    assert job.next_run_time.isoformat() == "2026-03-02T20:00:05+08:00"
    bench.advance(5)
    assert bench.ran == [5]


def test_add_job_passes_arguments_to_the_function(bench):
    seen = []
    bench.add(lambda *args, **kwargs: seen.append((args, kwargs)), args=(1, "two"), kwargs={"three": 3})
    bench.add(lambda *args, **kwargs: seen.append((args, kwargs)), args=[])
    bench.settle()
    assert seen == [((1, "two"), {"three": 3}), ((), {})]


def test_a_job_added_before_start_runs_after_it(unstarted):
    job = unstarted.every(10)
    assert job.pending
    unstarted.start()
    assert not job.pending
    unstarted.advance(10)
    assert unstarted.ran == [10]


def test_a_job_may_be_added_from_another_native_thread(bench):
    job = bench.in_thread(lambda: bench.every(10, id="threaded"))
    assert job.id == "threaded"
    bench.advance(10)
    assert bench.ran == [10]


def test_a_job_may_be_added_from_a_native_thread_before_start(unstarted):
    unstarted.in_thread(lambda: unstarted.every(10, id="threaded"))
    unstarted.start()
    unstarted.advance(10)
    assert unstarted.ran == [10]
    assert unstarted.names("job.") == ["job.added"]


def test_a_job_may_be_added_from_a_thread_of_gevents_pool(bench):
    answer = gevent.get_hub().threadpool.spawn(lambda: bench.every(10, id="pooled").id)
    bench.driver.wait_for(answer.ready)
    assert answer.get() == "pooled"
    bench.advance(10)
    assert bench.ran == [10]


def test_an_error_reaches_the_other_thread_that_caused_it(bench):
    with pytest.raises(InvalidJobError, match="max_instances"):
        bench.in_thread(lambda: bench.every(10, max_instances=0))


def test_a_job_may_add_a_job(bench):
    bench.add(lambda: bench.every(10, id="child"))
    bench.advance(10)
    assert bench.ran == [10]


def test_a_listener_may_add_a_job(bench):
    bench.scheduler.add_listener(lambda event: bench.add(id="after") if event.job_id == "first" else 0,
                                 EVENT_JOB_EXECUTED)  # fmt: skip
    bench.add(id="first")
    bench.settle()
    assert bench.ran == [0, 0]


def test_a_listener_may_call_any_verb_of_the_job_it_hears_of(bench):
    def react(event):
        job = bench.scheduler.get_job(event.job_id)
        job.modify(name="seen")
        job.pause()

    bench.scheduler.add_listener(react, EVENT_JOB_EXECUTED)
    bench.every(10, id="watched")
    bench.advance(30)
    assert bench.ran == [10]
    assert (bench.scheduler.get_job("watched").name, bench.scheduler.get_job("watched").state) == ("seen", "paused")


def test_an_id_can_be_taken_once(bench):
    bench.every(10, id="taken")
    with pytest.raises(JobIdConflictError, match="'taken' is taken; pass replace_existing=True"):
        bench.every(20, id="taken")
    assert bench.ids() == ["taken"]
    bench.advance(20)
    assert bench.ran == [10, 20]


def test_a_job_that_is_late_keeps_its_id(unstarted):
    """It has not run yet, so a second one would replace it in silence."""
    unstarted.add(id="late", args=["first"])
    unstarted.clock.skip(5000)
    with pytest.raises(JobIdConflictError):
        unstarted.add(id="late", args=["second"])
    unstarted.start()
    assert unstarted.ran == [(5, "first")]


def test_two_jobs_for_now_with_one_id_conflict(bench):
    bench.add(id="now", args=["first"])
    with pytest.raises(JobIdConflictError):
        bench.add(id="now", args=["second"])
    bench.settle()
    assert bench.ran == [(0, "first")]


def test_a_job_may_add_itself_again_under_its_id_during_its_last_run(bench):
    def again(count):
        bench.note(count)
        if count < 3:
            bench.add(again, "date", run_date=bench.clock.now + timedelta(seconds=5), args=[count + 1], id="chain")

    bench.add(again, args=[1], id="chain")
    bench.advance(60)
    assert bench.ran == [(0, 1), (5, 2), (10, 3)]
    assert bench.ids() == []
    assert bench.names() == ["run.succeeded"] * 3


def test_a_job_may_add_itself_again_for_now(bench):
    def again():
        bench.note()
        if len(bench.ran) < 3:
            bench.add(again, id="now", max_instances=2)

    bench.add(again, id="now", max_instances=2)
    bench.settle()
    assert (bench.ran, bench.ids()) == ([0, 0, 0], [])


def test_random_ids_do_not_collide(bench):
    assert len({bench.every(10).id for _ in range(100)}) == 100


def test_the_name_is_the_functions_unless_it_is_given(bench):
    assert bench.add(a_function, "interval", hours=1).name == "a_function"
    assert bench.add(a_function, "interval", hours=1, name="mine").name == "mine"
    assert bench.add(bench.note, "interval", hours=1).name == "Bench.note"


def test_defaults_come_from_the_schedulers_job_defaults(make_bench):
    bench = make_bench(job_defaults={"coalesce": False, "max_instances": 3, "misfire_grace_time": "10m", "tags": ["x"]})
    job = bench.every(10)
    assert (job.coalesce, job.max_instances, job.misfire_grace_time, job.tags) == (False, 3, 600, ("x",))
    job = bench.every(10, max_instances=1, coalesce=True, misfire_grace_time=None)
    assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)


def test_defaults_without_any_are_the_documented_ones(bench):
    job = bench.every(10)
    assert (job.coalesce, job.max_instances, job.misfire_grace_time, job.timeout) == (True, 1, None, None)
    assert (job.executor, job.jobstore, job.tags, dict(job.metadata)) == ("default", "default", (), {})


class Poller:
    async def __call__(self):
        pass

    async def poll(self):
        pass

    @staticmethod
    def lines():
        yield 1


async def a_coroutine():
    pass


async def an_async_generator():
    yield 1


@functools.wraps(a_coroutine)
def wrapped():
    return asyncio.run(a_coroutine())


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (a_coroutine, r"a call of a_coroutine only makes an object .*asyncio\.run\(\), in a thread executor"),
        (f"{__name__}:a_coroutine", r"asyncio\.run"),
        (functools.partial(functools.partial(a_coroutine)), r"asyncio\.run"),
        (Poller(), r"a call of Poller only makes an object .*asyncio\.run"),
        (functools.partial(Poller()), r"asyncio\.run"),
        (Poller().poll, r"asyncio\.run"),
        (Poller.lines, r"Poller\.lines .*goes through what it yields"),
        (an_async_generator, "goes through what it yields"),
    ],
    ids=["function", "reference", "partial", "object", "partial of one", "method", "generator", "async generator"],
)
def test_a_function_that_its_call_would_not_run_is_refused(bench, func, message):
    with pytest.raises(InvalidJobError, match=message):
        bench.add(func)
    with pytest.raises(InvalidJobError, match=message):
        bench.every(10, id="job").modify(func=func)
    with pytest.raises(InvalidJobError, match=message):
        bench.scheduler.add_jobs([{"func": func}])
    assert bench.ids() == ["job"]


def test_a_class_and_a_wrapped_coroutine_are_run_by_their_call(bench):
    bench.add(Poller, id="class")
    bench.add(wrapped, id="wrapped")
    bench.settle()
    assert bench.names() == ["run.succeeded", "run.succeeded"]


def test_a_function_may_be_given_as_a_reference(bench):
    job = bench.add("os.path:basename", "interval", hours=1, args=["/a/b"])
    assert (job.func_ref, job.func("/a/b"), job.name) == ("os.path:basename", "b", "basename")


def test_an_explicit_next_run_time_anchors_an_interval(bench):
    bench.every(10, next_run_time=NOON + timedelta(seconds=3))
    bench.advance(25)
    assert bench.ran == [3, 13, 23]


def test_an_explicit_next_run_time_leaves_a_cron_trigger_as_it_is(bench):
    bench.add(None, "cron", second="*/20", next_run_time=NOON + timedelta(seconds=3))
    bench.advance(45)
    assert bench.ran == [3, 20, 40]


def test_a_next_run_time_in_the_past_runs_at_once(bench):
    bench.every(10, next_run_time="2026-03-02 11:59:58")
    bench.advance(10)
    assert bench.ran == [0, 8]


def test_next_run_time_none_adds_it_paused(bench):
    job = bench.every(10, next_run_time=None)
    assert (job.state, job.next_run_time) == ("paused", None)
    bench.advance(30)
    assert bench.ran == []
    job.resume()
    bench.advance(10)
    assert bench.ran == [40]


def test_a_trigger_that_has_ended_already_is_reported(bench):
    bench.every(10, id="over", end_date="2020-01-01")
    bench.settle()
    assert bench.ids() == []
    assert [(event.job_id, event.reason) for event in bench.events("job.removed")] == [("over", "trigger_ended")]


def test_a_job_goes_when_its_trigger_ends(bench):
    bench.every(10, id="ending", end_date="2026-03-02 12:00:20")
    bench.advance(19)
    assert bench.ids() == ["ending"]
    bench.advance(1)
    assert bench.ids() == []
    assert bench.ran == [10, 20]
    bench.every(10, id="ending")  # its id is free


def test_a_job_stays_until_its_last_run_has_ended(bench):
    bench.add(bench.wait, id="last")
    bench.settle()
    assert bench.scheduler.get_job("last").state == "running"
    bench.open_gate()
    assert bench.scheduler.get_job("last") is None
    assert bench.names("run.") + bench.names("job.") == ["run.succeeded", "job.added", "job.removed"]


def test_jobs_may_be_added_before_their_store_is(unstarted):
    job = unstarted.every(10, jobstore="other", id="early")
    assert job.pending
    assert "early" in unstarted.ids(pending=True)
    store = MemoryJobStore()
    unstarted.scheduler.add_jobstore(store, "other")
    assert not job.pending
    unstarted.start()
    unstarted.advance(10)
    assert unstarted.ran == [10]
    assert store.get("early").jobstore == "other"


def test_a_job_that_waits_for_its_store_replaces_the_one_in_it(unstarted):
    store = MemoryJobStore()
    store.bind("other", unstarted.clock, unstarted.scheduler._engine.allowed)
    store.add([unstarted.every(10, id="known", jobstore="elsewhere").definition], replace=False)
    unstarted.scheduler.remove_job("known")
    unstarted.scheduler.add_jobstore(MemoryJobStore(), "elsewhere")
    unstarted.every(20, id="known", jobstore="other", replace_existing=True)
    unstarted.scheduler.add_jobstore(store, "other")
    unstarted.start()
    unstarted.advance(20)
    assert unstarted.ran == [20]


def test_start_refuses_jobs_whose_store_was_never_added(unstarted):
    unstarted.every(10)
    unstarted.every(10, jobstore="forgotten")
    with pytest.raises(ConfigurationError, match="forgotten"):
        unstarted.scheduler.start()
    assert not unstarted.scheduler.running
    unstarted.scheduler.add_jobstore(MemoryJobStore())
    unstarted.scheduler.add_jobstore(MemoryJobStore(), "forgotten")
    unstarted.start()
    unstarted.advance(10)
    assert unstarted.ran == [10, 10]


def test_while_it_runs_an_unknown_store_is_refused(bench):
    with pytest.raises(ConfigurationError, match="did you mean 'default'"):
        bench.every(10, jobstore="defualt")


def test_while_it_runs_an_unknown_executor_is_refused(bench):
    with pytest.raises(InvalidJobError, match="executor 'threads' is unknown; there are default"):
        bench.every(10, executor="threads")
    job = bench.every(10)
    with pytest.raises(InvalidJobError, match="threads"):
        job.modify(executor="threads")
    assert bench.scheduler.get_job(job.id).executor == "default"


def test_a_job_without_its_executor_is_parked_and_heals(unstarted):
    unstarted.every(10, id="waiting", executor="threads")
    unstarted.start()
    unstarted.advance(25)
    parked = unstarted.scheduler.get_job("waiting")
    assert (parked.state, unstarted.ran) == ("parked", [])
    assert [event.reason for event in unstarted.events("job.parked")] == ["unknown executor 'threads'"]
    with pytest.raises(InvalidJobError, match="unknown executor 'threads'"):
        parked.run()
    unstarted.scheduler.add_executor(GreenletPoolExecutor(), "threads")
    unstarted.advance(10)
    assert unstarted.ran == [25, 30]
    assert unstarted.scheduler.get_job("waiting").state == "scheduled"
    assert unstarted.names("job.") == ["job.added", "job.parked", "job.healed"]
    assert unstarted.ledger.problems(parked.definition, unstarted.at(10), unstarted.at(35)) == []


def test_removing_an_executor_parks_its_jobs(make_bench):
    bench = make_bench(executors={"other": GreenletPoolExecutor()}).start()
    bench.every(10, id="left", executor="other")
    bench.advance(10)
    bench.scheduler.remove_executor("other")
    bench.advance(10)
    assert (bench.ran, bench.scheduler.get_job("left").state) == ([10], "parked")
    bench.scheduler.add_executor("greenlet", "other", size=3)
    bench.settle()
    assert bench.ran == [10, 20]


def test_a_parked_job_heals_when_it_is_given_another_executor(unstarted):
    unstarted.every(10, id="lost", executor="nowhere")
    unstarted.start()
    unstarted.advance(15)
    assert unstarted.scheduler.modify_job("lost", executor="default").state == "scheduled"
    unstarted.advance(10)
    assert unstarted.ran == [15, 20]
    assert unstarted.scheduler.get_job("lost").state == "scheduled"
    assert "job.healed" in unstarted.names("job.")
    assert unstarted.ledger.problems(unstarted.scheduler.get_job("lost").definition, unstarted.at(10),
                                     unstarted.at(25)) == []  # fmt: skip


# -- replace_existing -----------------------------------------------------------------------------------------------


def test_replacing_with_an_unchanged_trigger_keeps_the_next_run_time(bench):
    bench.every(10, id="steady", args=["old"])
    bench.advance(7)
    job = bench.every(10, id="steady", args=["new"], replace_existing=True)
    assert bench.due("steady") == 10 and job.definition.rev == 2
    bench.advance(20)
    assert bench.ran == [(10, "new"), (20, "new")]


def test_replacing_with_an_unchanged_trigger_keeps_a_pause(bench):
    bench.every(10, id="steady").pause()
    job = bench.every(10, id="steady", replace_existing=True)
    bench.advance(30)
    assert (bench.ran, job.state) == ([], "paused")


@pytest.mark.parametrize("advance", [0, 25])
def test_replacing_with_a_changed_trigger_starts_anew(bench, advance):
    bench.every(10, id="steady").pause()
    bench.advance(advance)
    job = bench.every(20, id="steady", replace_existing=True)
    bench.advance(20)
    assert (bench.ran, job.state) == ([advance + 20], "scheduled")


def test_replacing_with_an_explicit_next_run_time_uses_it(bench):
    bench.every(10, id="steady").pause()
    bench.every(10, id="steady", next_run_time=NOON + timedelta(seconds=4), replace_existing=True)
    bench.advance(20)
    assert bench.ran == [4, 14]


def test_replacing_a_job_that_is_not_there_adds_it(bench):
    bench.every(10, id="new", replace_existing=True)
    bench.advance(10)
    assert bench.ran == [10]


def test_replacing_before_start_keeps_the_schedule_too(unstarted):
    unstarted.every(10, id="steady")
    unstarted.clock.skip(4000)
    unstarted.every(10, id="steady", replace_existing=True)
    unstarted.start()
    unstarted.advance(6)
    assert unstarted.ran == [10]


def test_replacing_a_job_after_it_has_run_repeats_nothing(bench):
    bench.every(10, id="steady")
    bench.advance(25)
    bench.every(10, id="steady", replace_existing=True)
    bench.advance(10)
    assert bench.ran == [10, 20, 30]


def test_replacing_heals_a_parked_job_and_repeats_nothing(unstarted):
    unstarted.every(10, id="job")
    unstarted.scheduler.add_executor(GreenletPoolExecutor(), "other")
    unstarted.every(10, id="moving", executor="other")
    unstarted.start()
    unstarted.advance(20)
    unstarted.scheduler.remove_executor("other")
    unstarted.advance(15)
    assert unstarted.scheduler.get_job("moving").state == "parked"
    job = unstarted.every(10, id="moving", replace_existing=True)
    unstarted.advance(5)
    assert (job.state, unstarted.scheduler.get_job("moving").state) == ("scheduled", "scheduled")
    assert unstarted.ledger.problems(job.definition, unstarted.at(10), unstarted.at(40)) == []


# -- add_jobs, scheduled_job ----------------------------------------------------------------------------------------


def test_many_jobs_are_added_at_once_and_progress_is_told(bench):
    told = []
    added = bench.scheduler.add_jobs(
        ({"func": a_function, "trigger": "interval", "seconds": 10, "id": str(n)} for n in range(2500)),
        progress=told.append,
    )
    assert (added, told, len(bench.scheduler.get_jobs())) == (2500, [1000, 2000, 2500], 2500)
    bench.advance(10)
    assert bench.names().count("run.succeeded") == 2500
    assert len(bench.events("job.added")) == 2500


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trigger": "intervall", "seconds": 1, "id": "x"}, r"job 3 \('x'\): .*did you mean 'interval'"),
        ({"trigger": "interval", "seconds": -1}, r"job 3 \(None\): .*-1"),
        ({"trigger": "interval", "seconds": 1, "max_instances": 0, "id": "x"}, r"job 3 \('x'\): max_instances"),
        ({"trigger": "interval", "seconds": 1, "args": [1], "func": len, "kwargs": {"z": 1}}, "job 3 .*len"),
        ({"trigger": "interval", "sceonds": 1}, r"job 3 .*sceonds"),
        ("nonsense", r"job 3 \('nonsense'\)"),
    ],
)
def test_a_wrong_definition_is_named_by_its_position_and_nothing_of_its_batch_is_stored(bench, wrong, message):
    right = {"func": a_function, "trigger": "interval", "seconds": 10}
    definitions = [right, right, right, {"func": a_function, **wrong} if isinstance(wrong, dict) else wrong, right]
    with pytest.raises(InvalidJobError, match=message):
        bench.scheduler.add_jobs(definitions)
    assert bench.ids() == [] and bench.names("job.") == []


def test_a_taken_id_among_many_stores_none_of_them(bench):
    definitions = [{"func": a_function, "trigger": "interval", "seconds": 10, "id": i} for i in ("a", "b", "a")]
    with pytest.raises(JobIdConflictError, match="'a'"):
        bench.scheduler.add_jobs(definitions)
    assert bench.ids() == []


def test_many_jobs_may_replace_those_that_are_there(bench):
    definitions = [{"func": bench.note, "trigger": "interval", "seconds": 10, "id": i} for i in ("a", "b")]
    bench.scheduler.add_jobs(definitions)
    bench.advance(5)
    bench.scheduler.add_jobs(definitions, replace_existing=True)
    bench.advance(5)
    assert bench.ran == [10, 10]


def test_many_jobs_go_into_the_store_that_is_named(make_bench):
    bench = make_bench(jobstores={"other": MemoryJobStore()}).start()
    bench.scheduler.add_jobs([{"func": a_function, "trigger": "interval", "seconds": 10}], jobstore="other")
    assert [job.jobstore for job in bench.scheduler.get_jobs()] == ["other"]


def test_no_jobs_are_added_at_once_too(bench):
    assert bench.scheduler.add_jobs([]) == 0


def test_a_decorated_function_is_a_job_and_stays_a_function(bench):
    @bench.scheduler.scheduled_job("interval", seconds=10, id="decorated")
    def tick():
        bench.note()

    bench.advance(10)
    tick()
    assert bench.ran == [10, 10]


def test_decorating_again_under_an_id_replaces_the_job(bench):
    for _ in range(2):
        bench.scheduler.scheduled_job("interval", [1], seconds=10, id="decorated")(bench.note)
    bench.advance(10)
    assert bench.ran == [(10, 1)]


# -- modify, reschedule ---------------------------------------------------------------------------------------------


def test_modifying_changes_what_a_job_does_and_not_when(bench):
    job = bench.every(10, id="job", args=["old"])
    bench.advance(15)
    job.modify(args=["new"], name="Alternate name", max_instances=6, coalesce=False, tags=["t"], metadata={"k": 1})
    bench.advance(10)
    assert bench.ran == [(10, "old"), (20, "new")]
    job = bench.scheduler.get_job("job")
    assert (job.name, job.max_instances, job.coalesce, job.tags, job.metadata) == (
        "Alternate name", 6, False, ("t",), {"k": 1},
    )  # fmt: skip
    assert bench.names("job.") == ["job.added", "job.changed"]


def test_modifying_the_function_checks_the_arguments_against_it(bench):
    job = bench.add(a_function, "interval", seconds=10, args=[1, 2, 3])
    with pytest.raises(InvalidJobError, match="does not accept"):
        job.modify(func=len)
    job.modify(func=len, args=["abc"])
    assert bench.scheduler.get_job(job.id).func is len


def test_modifying_the_next_run_time_anchors_the_interval_anew(bench):
    job = bench.every(10)
    job.modify(next_run_time=NOON + timedelta(seconds=4))
    bench.advance(15)
    assert bench.ran == [4, 14]


def test_modifying_the_next_run_time_moves_a_date(bench):
    job = bench.add(None, "date", run_date=NOON + timedelta(seconds=20), id="date")
    job.modify(next_run_time=NOON + timedelta(seconds=5))
    bench.advance(3)
    bench.add(None, "date", run_date=NOON + timedelta(seconds=20), id="date", replace_existing=True)
    assert bench.due("date") == 5, "its trigger is unchanged"
    bench.advance(60)
    assert bench.ran == [5]
    assert bench.scheduler.get_job("date") is None


def test_a_date_with_a_next_run_time_of_its_own_runs_once(bench):
    bench.add(None, "date", run_date=NOON + timedelta(seconds=20), next_run_time=NOON + timedelta(seconds=30))
    bench.advance(60)
    assert bench.ran == [30]


def test_modifying_the_next_run_time_lets_an_and_trigger_meet_as_before(bench):
    both = AndTrigger([IntervalTrigger(seconds=10), CronTrigger(second="*/20", timezone="UTC")])
    job = bench.add(None, both, id="both")
    job.modify(next_run_time=NOON + timedelta(seconds=5.5))
    bench.advance(45)
    assert bench.ran == [5.5, 20, 40]


def test_an_and_trigger_that_is_never_due_is_refused_at_the_call(bench):
    never = AndTrigger([CronTrigger(minute=1), CronTrigger(minute=2)])
    with pytest.raises(InvalidTriggerError, match="never due at the same time"):
        bench.add(None, never)
    job = bench.every(10, id="job")
    with pytest.raises(InvalidTriggerError, match="never due at the same time"):
        job.reschedule(never)
    assert (bench.ids(), bench.due("job")) == (["job"], 10)


def test_modifying_the_next_run_time_to_none_pauses(bench):
    job = bench.every(10)
    job.modify(next_run_time=None)
    bench.advance(15)
    assert (bench.ran, bench.scheduler.get_job(job.id).state) == ([], "paused")


def test_modifying_the_trigger_reschedules(bench):
    job = bench.every(10)
    job.modify(trigger=CronTrigger(second="*/7", timezone="UTC"))
    bench.advance(15)
    assert bench.ran == [0, 7, 14]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "other"}, "id: cannot be changed"),
        ({"max_instance": 3}, "did you mean 'max_instances'"),
        ({"max_instances": 0}, "max_instances: expected a whole number from 1, got 0"),
        ({"seconds": 3}, "unknown option 'seconds'"),
        ({"args": "text"}, "args"),
        ({"func": 3}, "func: expected a callable"),
        ({"name": ""}, "name"),
        ({"coalesce": "yes"}, "coalesce"),
        ({"misfire_grace_time": 0}, "misfire_grace_time"),
        ({"timeout": -1}, "timeout"),
        ({"next_run_time": "noon"}, "next_run_time"),
    ],
)
def test_a_wrong_change_changes_nothing(bench, changes, message):
    job = bench.every(10, id="job")
    before = job.definition
    with pytest.raises(InvalidJobError, match=message):
        bench.scheduler.modify_job("job", **{"name": "changed", **changes})
    bench.settle()
    assert bench.scheduler.get_job("job").definition == before
    assert bench.names("job.") == ["job.added"]


def test_rescheduling_counts_from_now(bench):
    job = bench.every(10)
    bench.advance(7)
    job.reschedule("interval", seconds=5)
    bench.advance(10)
    assert bench.ran == [12, 17]


def test_rescheduling_does_not_unpause(bench):
    bench.every(10, id="job").pause()
    bench.scheduler.reschedule_job("job", trigger="interval", seconds=5)
    bench.advance(20)
    assert (bench.ran, bench.scheduler.get_job("job").state) == ([], "paused")


@pytest.mark.parametrize("arguments", [{}, {"timezone": "Asia/Tokyo"}, {"hour": None}, {"jitter": 3}], ids=str)
def test_a_cron_trigger_by_name_is_not_due_every_second_for_want_of_a_field(bench, arguments):
    bench.every(10, id="job")
    for verb, which in (bench.scheduler.reschedule_job, ["job", "default"]), (bench.scheduler.add_job, [bench.note]):
        with pytest.raises(InvalidTriggerError, match=r"none of its fields is given.*say second='\*'"):
            verb(*which, trigger="cron", **arguments)
    with pytest.raises(InvalidTriggerError, match="none of its fields is given"):
        bench.scheduler.modify_job("job", trigger={"type": "cron", **arguments})
    assert [str(job.trigger) for job in bench.scheduler.get_jobs()] == ["interval[0:00:10]"]
    assert str(bench.add(None, "cron", second="*").trigger) == "cron[second='*']"
    assert str(bench.add(None, CronTrigger()).trigger) == "cron[]"


def test_a_job_is_given_a_trigger_by_name_with_its_arguments(bench):
    bench.every(10, id="job")
    changed = bench.scheduler.modify_job("job", trigger="cron", hour=5, max_instances=2)
    assert (str(changed.trigger), changed.max_instances) == ("cron[hour='5']", 2)
    with pytest.raises(InvalidTriggerError, match="max_instnces"):
        bench.scheduler.modify_job("job", trigger="cron", hour=6, max_instnces=3)
    with pytest.raises(InvalidJobError, match="unknown option 'hour'"):
        bench.scheduler.modify_job("job", hour=6)
    assert str(bench.scheduler.get_job("job").trigger) == "cron[hour='5']"


def test_rescheduling_wrongly_changes_nothing(bench):
    bench.every(10, id="job")
    with pytest.raises(InvalidTriggerError, match="did you mean 'cron'"):
        bench.scheduler.reschedule_job("job", trigger="crom", minute="*/5")
    bench.advance(10)
    assert bench.ran == [10]


def test_rescheduling_to_what_has_ended_ends_the_job(bench):
    job = bench.every(10, id="job")
    job.reschedule("interval", seconds=10, end_date="2020-01-01")
    bench.settle()
    assert bench.ids() == []
    assert [event.reason for event in bench.events("job.removed")] == ["trigger_ended"]


def test_rescheduling_heals_a_job_that_its_trigger_had_parked(bench):
    class Broken(IntervalTrigger):
        def next_ms(self, after):
            if after >= bench.at(10):
                raise RuntimeError("no idea")
            return super().next_ms(after)

    job = bench.add(None, Broken(seconds=10, start_date=NOON, timezone="UTC"), id="job")
    bench.advance(30)
    assert bench.scheduler.get_job("job").state == "parked"
    assert job.reschedule("interval", seconds=5).state == "scheduled"
    bench.advance(5)
    assert bench.ran == [0, 35]
    assert bench.scheduler.get_job("job").state == "scheduled"


# -- pause, resume --------------------------------------------------------------------------------------------------


def test_instants_during_the_pause_of_a_job_are_not_due(bench):
    job = bench.every(10)
    bench.advance(10)
    job.pause()
    bench.advance(30)
    job.resume()
    bench.advance(15)
    assert bench.ran == [10, 50]
    assert bench.names("job.") == ["job.added", "job.paused", "job.resumed"]


def test_a_date_that_passes_while_its_job_is_paused_is_late(bench):
    job = bench.add(None, "date", run_date=NOON + timedelta(seconds=10))
    job.pause()
    bench.advance(30)
    job.resume()
    bench.settle()
    assert bench.ran == [30]


def test_a_job_whose_trigger_ends_while_it_is_paused_ends_when_it_is_resumed(bench):
    job = bench.every(10, id="job", end_date="2026-03-02 12:00:30")
    bench.advance(15)
    job.pause()
    bench.advance(60)
    assert bench.ids() == ["job"]
    job.resume()
    bench.settle()
    assert (bench.ran, bench.ids()) == ([10], [])
    assert [event.reason for event in bench.events("job.removed")] == ["trigger_ended"]


def test_pausing_and_resuming_twice_does_no_harm(bench):
    job = bench.every(10)
    job.pause().pause()
    job.resume().resume()
    bench.advance(10)
    assert bench.ran == [10]


def test_pausing_lets_a_run_in_progress_go_on(bench):
    job = bench.every(10, bench.wait)
    bench.advance(10)
    job.pause()
    bench.open_gate()
    assert bench.names() == ["run.succeeded"]
    bench.advance(30)
    assert bench.ran == [10]


def test_resuming_a_date_job_during_its_run_does_not_run_it_again(bench):
    job = bench.add(bench.wait, "date", run_date=NOON + timedelta(seconds=10), id="once")
    bench.advance(10)
    job.pause()
    job.resume()
    bench.settle()
    bench.open_gate()
    bench.advance(10)
    assert (bench.ran, bench.ids()) == ([10], [])


# -- remove ---------------------------------------------------------------------------------------------------------


def test_a_removed_job_does_not_run(bench):
    job = bench.every(10, id="job")
    bench.advance(10)
    job.remove()
    bench.advance(30)
    assert (bench.ran, bench.ids()) == ([10], [])
    assert [event.details for event in bench.events("job.removed")] == [{}]


def test_removing_lets_a_run_in_progress_go_on(bench):
    job = bench.every(10, bench.wait)
    bench.advance(10)
    job.remove()
    bench.open_gate()
    bench.advance(10)
    assert (bench.ran, bench.names()) == ([10], ["run.succeeded"])


def test_a_job_may_remove_itself(bench):
    bench.every(10, lambda: (bench.note(), bench.scheduler.remove_job("self")), id="self")
    bench.advance(30)
    assert (bench.ran, bench.names()) == ([10], ["run.succeeded"])


def test_a_job_that_was_removed_and_added_again_during_a_run_is_a_new_one(bench):
    bench.every(10, bench.wait, id="job")
    bench.advance(10)
    bench.scheduler.remove_job("job")
    bench.every(7, id="job")
    bench.open_gate()
    bench.advance(7)
    assert bench.ran == [10, 17]


def test_all_jobs_are_removed_at_once(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(), "other": MemoryJobStore()}).start()
    bench.every(10)
    bench.every(10, jobstore="other")
    assert bench.scheduler.remove_all_jobs("other") == 1
    assert bench.scheduler.remove_all_jobs() == 1
    bench.advance(20)
    assert bench.ran == []
    assert [event.alias for event in bench.events("jobs.removed")] == ["other", "default", "other"]


@pytest.mark.parametrize(
    "call",
    [
        lambda scheduler: scheduler.modify_job("nobody", name="x"),
        lambda scheduler: scheduler.reschedule_job("nobody", trigger="interval", seconds=1),
        lambda scheduler: scheduler.pause_job("nobody"),
        lambda scheduler: scheduler.resume_job("nobody"),
        lambda scheduler: scheduler.remove_job("nobody"),
        lambda scheduler: scheduler.run_job("nobody"),
    ],
    ids=["modify", "reschedule", "pause", "resume", "remove", "run"],
)
def test_a_job_that_is_not_there_is_named(bench, call):
    with pytest.raises(JobNotFoundError, match="no job has the id 'nobody'"):
        call(bench.scheduler)


# -- reading --------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_the_next_due_first(bench):
    bench.every(30, id="slow")
    bench.every(10, id="fast")
    bench.every(20, id="paused", next_run_time=None)
    bench.every(20, id="middle")
    assert bench.ids() == ["fast", "middle", "slow", "paused"]


def test_jobs_are_listed_by_tag_state_text_and_store(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(), "other": MemoryJobStore()}).start()
    bench.every(10, id="a", tags=["x", "y"], name="Refresh cache")
    bench.every(20, id="b", tags=["x"], next_run_time=None)
    bench.every(30, id="c", jobstore="other", name="poll the CACHE")
    assert bench.ids(tag="x") == ["a", "b"]
    assert bench.ids(tag="y") == ["a"]
    assert bench.ids(tag="z") == []
    assert bench.ids(state="paused") == ["b"]
    assert bench.ids(state="scheduled") == ["a", "c"]
    assert bench.ids(text="cache") == ["a", "c"]
    assert bench.ids(text="B") == ["b"]
    assert bench.ids(jobstore="other") == ["c"]
    assert bench.ids(pending=True) == []
    assert bench.ids(pending=False) == ["a", "b", "c"]


def test_jobs_are_listed_in_pages(bench):
    for number in range(10):
        bench.every(10 + number, id=str(number))
    assert bench.ids(skip=3, limit=2) == ["3", "4"]
    assert bench.ids(limit=0) == []
    assert bench.ids(skip=9) == ["9"]


def test_running_jobs_are_listed_too(bench):
    bench.every(10, bench.wait, id="busy")
    bench.every(10, id="quick")
    bench.advance(10)
    assert bench.ids(state="running") == ["busy"]
    assert bench.scheduler.get_job("busy").state == "running"
    bench.open_gate()
    assert bench.ids(state="running") == []


def test_an_unknown_state_or_store_is_refused(bench):
    with pytest.raises(InvalidJobError, match="state"):
        bench.ids(state="sleeping")
    with pytest.raises(ConfigurationError, match="jobstore 'nowhere' is unknown"):
        bench.ids(jobstore="nowhere")


def test_a_job_that_is_not_there_is_none(bench):
    assert bench.scheduler.get_job("nobody") is None


def test_a_job_with_a_broken_trigger_does_not_hide_the_others(bench):
    class Broken(IntervalTrigger):
        def next_ms(self, after):
            if after >= bench.at(10):
                raise RuntimeError("no idea")
            return super().next_ms(after)

    bench.add(None, Broken(seconds=10, start_date=NOON, timezone="UTC"), id="broken")
    bench.every(20, id="fine", name="fine")
    bench.advance(15)
    assert sorted(bench.ids()) == ["broken", "fine"]
    out = io.StringIO()
    bench.scheduler.print_jobs(out=out)
    assert "fine" in out.getvalue()
    assert bench.scheduler.get_job("broken").state == "parked"


def test_a_job_whose_trigger_goes_back_is_parked_and_the_others_run_on(bench):
    class Backward(IntervalTrigger):
        def next_ms(self, after):
            return after - 1000 if after >= bench.at(10) else super().next_ms(after)

    bench.add(None, Backward(seconds=10, start_date=NOON, timezone="UTC"), id="broken")
    bench.every(20, id="fine")
    bench.advance(40)
    assert bench.ran == [0, 20, 40]
    [parked] = bench.events("job.parked")
    assert "expected a later int, or None" in parked.reason
    assert bench.scheduler.get_job("broken").next_run_time is None


def test_a_trigger_that_gives_no_instant_is_refused_at_the_call(bench):
    class Vague(BaseTrigger):
        alias = "vague"

        def next_ms(self, after):
            return after + 0.5

        def to_fields(self):
            return {}

    with pytest.raises(InvalidTriggerError, match="expected a later int, or None"):
        bench.add(None, Vague())
    assert bench.ids() == []


def test_jobs_are_printed(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(), "other": MemoryJobStore()}).start()
    bench.every(10, name="Poll")
    bench.every(10, name="Rest", next_run_time=None)
    out = io.StringIO()
    bench.scheduler.print_jobs(out=out)
    assert out.getvalue().splitlines() == [
        "Jobstore default:",
        "    Poll (trigger: interval[0:00:10], next run at: 2026-03-02 12:00:10 UTC)",
        "    Rest (trigger: interval[0:00:10], paused)",
        "Jobstore other:",
        "    No scheduled jobs",
    ]


def test_jobs_that_wait_for_start_are_printed_as_pending(unstarted, capsys):
    unstarted.every(10, name="Poll")
    unstarted.scheduler.print_jobs()
    assert capsys.readouterr().out.splitlines()[1] == "    Poll (trigger: interval[0:00:10], pending)"


def test_a_handle_shows_the_job(bench):
    job = bench.every(10, id="shown", tags=["t"], timeout="30s", metadata={"owner": "me"})
    assert (job.id, job.name, job.tags, job.timeout, job.metadata["owner"]) == (
        "shown", "Bench.note", ("t",), 30, "me"
    )  # fmt: skip
    assert job.next_run_time == datetime(2026, 3, 2, 12, 0, 10, tzinfo=UTC)
    assert str(job) == "Bench.note (trigger: interval[0:00:10], next run at: 2026-03-02 12:00:10 UTC)"
    assert repr(job) == "<JobHandle (id=shown name=Bench.note)>"
    assert job == bench.scheduler.get_job("shown") and len({job, bench.scheduler.get_job("shown")}) == 1


def test_a_handle_says_how_its_job_is(unstarted):
    date = unstarted.add(unstarted.wait, id="date")
    assert str(date) == "Bench.wait (trigger: date[2026-03-02 12:00:00 UTC], pending)"
    unstarted.start(paused=True)
    assert str(date).endswith("UTC], due now)")
    unstarted.scheduler.resume()
    unstarted.settle()
    assert str(date).endswith("UTC], running)")
    unstarted.open_gate()
    assert str(date).endswith("UTC], ended)")


def test_a_handle_says_why_its_job_is_parked(unstarted):
    unstarted.every(10, executor="nowhere", id="job")
    unstarted.start()
    unstarted.advance(10)
    job = unstarted.scheduler.get_job("job")
    assert str(job) == "Bench.note (trigger: interval[0:00:10], parked: unknown executor 'nowhere')"


def test_a_handle_of_a_job_that_waits_for_its_instances_says_that_it_is_due(bench):
    bench.every(10, bench.wait, id="job", coalesce=False, end_date=NOON + timedelta(seconds=20))
    bench.scheduler.pause()
    bench.advance(25)
    job = bench.scheduler.get_job("job")
    assert str(job).endswith("due now)")
    bench.scheduler.resume()
    bench.settle()
    assert str(job).endswith("running)")
    bench.open_gate()
    assert (bench.ran, str(job).endswith("ended)")) == ([25, 25], True)


def test_the_next_run_time_moves_on_with_the_clock(bench):
    job = bench.every(10, id="job")
    bench.advance(25)
    assert bench.due("job") == 30
    assert job.next_run_time == bench.scheduler.get_job("job").next_run_time


def test_a_handle_sees_what_was_changed_through_it(bench):
    job = bench.every(10)
    assert job.modify(name="new").name == job.name == "new"
    assert job.pause().state == job.state == "paused"
    assert job.resume().state == "scheduled"
    assert str(job.reschedule("interval", seconds=3).trigger) == "interval[0:00:03]"


# -- runs -----------------------------------------------------------------------------------------------------------


def test_a_job_can_be_run_now_and_its_schedule_stays(bench):
    job = bench.every(10, id="job")
    bench.advance(4)
    run_id = job.run()
    bench.settle()
    bench.advance(6)
    assert bench.ran == [4, 10]
    assert bench.driver.of(EVENT_JOB_EXECUTED)[0].run_id == run_id


def test_a_paused_job_can_be_run_now(bench):
    job = bench.every(10, next_run_time=None)
    job.run()
    bench.advance(20)
    assert bench.ran == [0]
    assert bench.scheduler.get_job(job.id).state == "paused"


def test_a_run_on_request_has_the_fence_that_its_store_says(make_bench):
    class FencingStore(MemoryJobStore):
        def request_run(self, job, request, overlap=None):
            self._hub.post(RunRequested(job, request, self.clock.now_ms(), fence=7))

    bench = make_bench(jobstores={"default": FencingStore()}).start()
    bench.every(10, lambda: bench.note(current_run().fence), next_run_time=None).run()
    bench.settle()
    assert bench.ran == [(0, 7)]


def test_a_run_on_request_counts_for_max_instances(bench):
    job = bench.every(10, bench.wait, id="job")
    job.run()
    bench.settle()
    job.run()
    bench.settle()
    assert (bench.ran, bench.names()) == ([0], ["run.skipped"])
    bench.advance(10)
    assert bench.names() == ["run.skipped", "run.skipped"]


def late_job(bench, times):
    """A job that waits for the gate, of which the first of so many late instants is in progress."""
    bench.scheduler.pause()
    job = bench.every(10, bench.wait, coalesce=False)
    bench.advance(10 * times)
    bench.scheduler.resume()
    bench.settle()
    assert bench.ran == [10 * times]
    return job


def test_waiting_instants_begin_when_max_instances_is_raised(bench):
    job = late_job(bench, 3)
    job.modify(max_instances=2)
    bench.settle()
    assert bench.ran == [30, 30]
    job.modify(max_instances=5)
    bench.settle()
    assert (bench.ran, bench.names()) == ([30, 30, 30], [])


def test_a_waiting_instant_is_not_skipped_when_one_of_several_runs_before_it_has_ended(bench):
    job = late_job(bench, 2)
    hub = bench.scheduler._engine.hub
    lane = hub._lanes["default"]
    for counts in ({job.id: 2}, {job.id: 1}):
        hub._do(hub._reader.read, lane, RunsElsewhere(counts))
        bench.settle()
    bench.open_gate()
    assert (bench.ran, bench.names()) == ([20], ["run.succeeded"])
    hub._do(hub._reader.read, lane, RunsElsewhere({}))
    bench.settle()
    assert (bench.ran, bench.names()) == ([20, 20], ["run.succeeded"] * 2)


def test_every_request_is_a_run_of_its_own(bench):
    job = bench.every(10, max_instances=3)
    assert len({job.run() for _ in range(3)}) == 3
    bench.settle()
    assert bench.ran == [0, 0, 0]


def test_nothing_runs_on_request_before_start(unstarted):
    job = unstarted.every(10)
    with pytest.raises(SchedulerNotRunningError):
        job.run()


def test_a_handle_says_whether_its_job_recovers_is_paused_or_parked(unstarted):
    job = unstarted.every(10, executor="nowhere", id="job", recover=True)
    assert (job.recover, job.paused, job.parked) == (True, False, None)
    job.pause()
    assert job.paused
    job.resume()
    unstarted.start()
    unstarted.advance(10)
    assert unstarted.scheduler.get_job("job").parked == "unknown executor 'nowhere'"


def test_a_run_on_request_of_a_job_without_its_executor_is_skipped_with_the_reason(unstarted):
    job = unstarted.every(10, executor="nowhere", id="job")
    unstarted.start()
    job.run()
    unstarted.settle()
    assert [event.reason for event in unstarted.events("run.skipped")] == ["unknown_executor"]


@pytest.mark.parametrize("state", [None, "paused", "running"])
@pytest.mark.parametrize("page", [{"limit": -1}, {"skip": -1}, {"limit": "5"}, {"skip": 0.5}], ids=str)
def test_a_page_that_there_cannot_be_is_refused(bench, page, state):
    bench.every(10)
    expected = f"{next(iter(page))}: expected a whole number from 0"
    with pytest.raises(ConfigurationError, match=expected):
        bench.scheduler.get_jobs(state=state, **page)
    if state != "running":
        with pytest.raises(ConfigurationError, match=expected):
            list(bench.scheduler.iter_jobs(state=state, **page))


@pytest.mark.parametrize("second", ["cron", IntervalTrigger(seconds=5), {"type": "interval", "seconds": 5}], ids=str)
def test_a_trigger_in_the_place_of_the_jobstore_is_refused_with_what_to_write(bench, second):
    bench.every(10, id="job")
    with pytest.raises(InvalidTriggerError, match=re.escape(f"reschedule_job('job', trigger={second!r})")):
        bench.scheduler.reschedule_job("job", second)


def test_runs_in_progress_are_listed_and_cancelled(bench):
    bench.every(10, bench.wait, id="a", max_instances=2)
    bench.every(10, bench.wait, id="b")
    bench.advance(20)
    assert sorted(run.job_id for run in bench.scheduler.get_running()) == ["a", "a", "b"]
    assert [run.job_id for run in bench.scheduler.get_running("b")] == ["b"]
    assert bench.scheduler.get_running(jobstore="other") == []

    first = bench.scheduler.get_running("b")[0]
    assert bench.scheduler.cancel_run(first.id)
    bench.advance(0)
    assert not bench.scheduler.cancel_run(first.id)
    assert bench.scheduler.cancel_runs("a") == 2
    bench.advance(0)
    assert bench.scheduler.get_running() == []
    assert sorted(event.job_id for event in bench.events("run.cancelled")) == ["a", "a", "b"]
    assert bench.scheduler.cancel_runs("a") == 0


def test_a_run_that_waits_for_a_worker_is_cancelled_before_it_starts(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    bench.add(bench.wait)
    second = bench.add(args=["second"])
    bench.settle()
    assert second.cancel_runs() == 1
    bench.open_gate()
    assert (bench.ran, sorted(bench.names())) == ([0], ["run.cancelled", "run.succeeded"])


def test_any_verb_may_be_called_from_another_native_thread(bench):
    def verbs():
        job = bench.every(10, id="job")
        job.modify(name="x")
        job.reschedule("interval", seconds=20)
        job.pause()
        job.resume()
        job.run()
        return [job.id for job in bench.scheduler.get_jobs()]

    assert bench.in_thread(verbs) == ["job"]
    bench.settle()
    assert bench.ran == [0]
    bench.in_thread(lambda: bench.scheduler.remove_job("job"))
    assert bench.ids() == []


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trigger": "interval", "seconds": 10, "args": [1, 2, 3]}, InvalidJobError, r"one_argument\(value\)"),
        ({"trigger": "interval", "seconds": 10, "args": []}, InvalidJobError, "missing a required argument: 'value'"),
        ({"trigger": "interval", "seconds": 10, "kwargs": {"valeu": 1}}, InvalidJobError, "value"),
        ({"trigger": "interval", "seconds": -1}, InvalidTriggerError, "-1"),
        ({"trigger": "interval"}, InvalidTriggerError, "at least 1 ms"),
        ({"trigger": "interval", "second": 1}, InvalidTriggerError, "second"),
        ({"trigger": "intervall", "seconds": 1}, InvalidTriggerError, "did you mean 'interval'"),
        ({"trigger": 5}, InvalidTriggerError, "5"),
        ({"trigger": IntervalTrigger(seconds=1), "seconds": 3}, InvalidTriggerError, "seconds"),
        ({"seconds": 3}, InvalidTriggerError, "seconds"),
        ({"trigger": "date", "run_date": "tomorrow"}, InvalidTriggerError, "tomorrow"),
        ({"trigger": "cron", "minute": "61"}, InvalidTriggerError, "61"),
        ({"trigger": "interval", "seconds": 1, "misfire_grace_time": 0}, InvalidJobError, "misfire_grace_time"),
        ({"trigger": "interval", "seconds": 1, "misfire_grace_time": "soon"}, InvalidJobError, "misfire_grace_time"),
        ({"trigger": "interval", "seconds": 1, "max_instances": 0}, InvalidJobError, "max_instances"),
        ({"trigger": "interval", "seconds": 1, "max_instances": True}, InvalidJobError, "max_instances"),
        ({"trigger": "interval", "seconds": 1, "max_instances": 1.5}, InvalidJobError, "max_instances"),
        ({"trigger": "interval", "seconds": 1, "timeout": 0}, InvalidJobError, "timeout"),
        ({"trigger": "interval", "seconds": 1, "coalesce": 1}, InvalidJobError, "coalesce"),
        ({"trigger": "interval", "seconds": 1, "tags": "tag"}, InvalidJobError, "tags"),
        ({"trigger": "interval", "seconds": 1, "metadata": [1]}, InvalidJobError, "metadata"),
        ({"trigger": "interval", "seconds": 1, "args": "text"}, InvalidJobError, "args"),
        ({"trigger": "interval", "seconds": 1, "kwargs": [1]}, InvalidJobError, "kwargs"),
        ({"trigger": "interval", "seconds": 1, "kwargs": {1: 2}}, InvalidJobError, "kwargs"),
        ({"trigger": "interval", "seconds": 1, "id": ""}, InvalidJobError, "id"),
        ({"trigger": "interval", "seconds": 1, "id": 5}, InvalidJobError, "id"),
        ({"trigger": "interval", "seconds": 1, "next_run_time": "noon"}, InvalidJobError, "next_run_time"),
        ({"trigger": "interval", "seconds": 1, "next_run_time": True}, InvalidJobError, "next_run_time"),
        ({"func": None}, InvalidJobError, "func"),
        ({"func": 5}, InvalidJobError, "func"),
        ({"func": "os.path"}, FuncRefError, "os.path"),
        ({"func": "os:nothing"}, FuncRefError, "nothing"),
        ({"func": "no_such_module:main"}, FuncRefError, "no_such_module"),
        ({"func": "os:environ"}, FuncRefError, "not callable"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing_behind(bench, options, error, message):
    def one_argument(value):
        return value

    given = {"func": one_argument, **options}
    if "args" not in given and "kwargs" not in given:
        given["args"] = [1]
    with pytest.raises(error, match=message):
        bench.scheduler.add_job(**given)
    bench.advance(10)
    assert (bench.ids(), bench.names(""), bench.scheduler.get_running()) == ([], [*bench.names("")], [])
    assert not {EVENT_JOB_ADDED, EVENT_JOB_ERROR} & {event.code for event in bench.driver.events}
