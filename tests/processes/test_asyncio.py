"""AsyncIOScheduler in programs on asyncio."""

from __future__ import annotations

from programs import run_program

BEGIN = """
import asyncio, contextvars, sys, threading, time
from gsched import *

async def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this never came"
        await asyncio.sleep(0.005)

ran = []
def new(**options):
    return AsyncIOScheduler(timezone="UTC", run_events="none", **options)
"""
END = "\nasyncio.run(main())\n"


def run(program: str) -> list[str]:
    """The lines that a program printed, which ended well and wrote nothing to standard error."""
    out, error, code = run_program(BEGIN + program + END)
    assert (error, code) == ("", 0), out
    return out.splitlines()


def test_coroutine_functions_run_on_the_event_loop_and_functions_in_its_threads() -> None:
    assert run("""
async def on_loop(name):
    await asyncio.sleep(0)
    ran.append((name, asyncio.get_running_loop() is loop, current_run().job_id))
class Callable:
    async def __call__(self):
        await on_loop("object")
def in_thread():
    ran.append(("thread", threading.current_thread() is threading.main_thread(), current_run().job_id))
async def main():
    global loop
    loop = asyncio.get_running_loop()
    scheduler = new()
    scheduler.add_job(on_loop, args=["function"], id="a")
    scheduler.start()
    scheduler.add_job(Callable(), id="b")
    scheduler.add_job(in_thread, id="c")
    await until(lambda: len(ran) == 3)
    print(sorted(ran))
    await scheduler.ashutdown()
    print(scheduler.running)
""") == ["[('function', True, 'a'), ('object', True, 'b'), ('thread', False, 'c')]", "False"]


def test_a_timeout_and_a_cancelled_run_cancel_the_coroutine() -> None:
    assert run("""
async def wait():
    begun.add(current_run().job_id)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ran.append(current_run().job_id)
        raise
async def main():
    global begun
    begun = set()
    scheduler = new()
    outcomes = {}
    scheduler.add_listener(lambda event: outcomes.update({event.job_id: event.name}),
                           EVENT_JOB_TIMED_OUT | EVENT_JOB_CANCELLED)
    scheduler.start()
    scheduler.add_job(wait, id="slow", timeout=0.05)
    scheduler.add_job(wait, id="stopped")
    await until(lambda: "stopped" in begun)
    scheduler.cancel_runs("stopped")
    await until(lambda: len(outcomes) == 2)
    print(sorted(ran), sorted(outcomes.items()))
    await scheduler.ashutdown()
""") == ["['slow', 'stopped'] [('slow', 'run.timed_out'), ('stopped', 'run.cancelled')]"]


def test_a_coroutine_that_fails_or_exits_fails_its_run_and_nothing_else() -> None:
    assert run("""
async def fails():
    raise ValueError("wrong")
async def exits():
    sys.exit(3)
async def cancels_itself():
    raise asyncio.CancelledError
async def main():
    scheduler = new()
    outcomes = {}
    scheduler.add_listener(lambda event: outcomes.update({event.job_id: (event.name, repr(event.exception))}),
                           EVENT_JOB_ERROR | EVENT_JOB_CANCELLED)
    scheduler.start()
    for func in (fails, exits, cancels_itself):
        scheduler.add_job(func, id=func.__name__)
    await until(lambda: len(outcomes) == 3)
    for line in sorted(outcomes.items()):
        print(*line)
    await scheduler.ashutdown()
""") == [
        "cancels_itself ('run.cancelled', \"RunCancelled('its task was cancelled')\")",
        "exits ('run.failed', 'SystemExit(3)')",
        "fails ('run.failed', \"ValueError('wrong')\")",
    ]


def test_a_run_gets_a_context_of_its_own() -> None:
    assert run("""
var = contextvars.ContextVar("var", default="nothing")
async def look():
    ran.append(var.get())
    var.set("of the run")
async def main():
    var.set("of the program")
    scheduler = new()
    scheduler.start()
    for number in range(2):
        scheduler.add_job(look)
        await until(lambda: len(ran) == number + 1)
    print(ran, var.get())
    await scheduler.ashutdown()
""") == ["['nothing', 'nothing'] of the program"]


def test_a_shutdown_on_the_event_loop_returns_at_once_and_ashutdown_waits_for_the_coroutines() -> None:
    assert run("""
async def work():
    ran.append("begun")
    await asyncio.sleep(0.3)
    ran.append("ended")
async def main():
    scheduler = new()
    for shut_down in ("at once", "waiting"):
        ran.clear()
        scheduler.add_job(work, id=shut_down)
        scheduler.start()
        await until(lambda: ran)
        if shut_down == "waiting":
            print(await scheduler.ashutdown(), ran)
        else:
            print(scheduler.shutdown(), ran)
            await until(lambda: ran[-1] == "ended" and scheduler.join(0))
""") == ["[] ['begun']", "[] ['begun', 'ended']"]


def test_ashutdown_cancels_the_runs_that_take_longer_than_its_timeout() -> None:
    assert run("""
async def work():
    ran.append("begun")
    await asyncio.sleep(60)
async def main():
    scheduler = new()
    scheduler.add_job(work, id="long")
    scheduler.start()
    await until(lambda: ran)
    print([run.job_id for run in await scheduler.ashutdown(timeout=0.05)])
""") == ["['long']"]


def test_every_verb_can_be_awaited_and_iterators_are_asynchronous() -> None:
    assert run("""
async def main():
    scheduler = new()
    await scheduler.aio.add_job(print, "interval", hours=1, id="a")
    scheduler.start()
    await scheduler.aio.add_jobs([{"func": print, "trigger": "interval", "hours": 1, "id": str(n)} for n in range(250)])
    print(len(await scheduler.aio.get_jobs()), len([job async for job in scheduler.aio.iter_jobs()]))
    await scheduler.aio.pause_job("a")
    verdicts = [found.verdict async for found in scheduler.aio.admin.diagnose()]
    print((await scheduler.aio.get_job("a")).state, verdicts[1])
    for wrong in ("running", "_engine", "no_verb"):
        try:
            getattr(scheduler.aio, wrong)
        except AttributeError:
            print("no verb")
    try:
        await scheduler.aio.remove_job("b")
    except JobNotFoundError as error:
        print(error)
    await scheduler.aio.shutdown()
""") == ["251 251", "paused ok", "no verb", "no verb", "no verb", "no job has the id 'b'"]


def test_an_awaited_verb_does_not_wait_for_jobs_that_fill_the_loops_threads() -> None:
    assert run("""
release = threading.Event()
async def main():
    scheduler = new()
    scheduler.start()
    for number in range(100):
        scheduler.add_job(release.wait, args=[20], id=str(number))
    print(len(await scheduler.aio.get_jobs()) <= 100)
    release.set()
    await scheduler.ashutdown()
""") == ["True"]


def test_an_event_loop_that_is_closed_fails_the_runs_and_nothing_waits_for_them() -> None:
    out, error, code = run_program(BEGIN + """
async def work():
    pass
loop = asyncio.new_event_loop()
scheduler = new(event_loop=loop)
outcomes = []
scheduler.add_listener(lambda event: outcomes.append(repr(event.exception)), EVENT_JOB_ERROR)
loop.close()
scheduler.start()
scheduler.add_job(work)
while not outcomes:
    time.sleep(0.01)
scheduler.shutdown()
print(outcomes)
""")
    assert (out, error, code) == ("[\"RuntimeError('Event loop is closed')\"]\n", "", 0)


def test_it_can_be_started_again_on_another_event_loop() -> None:
    out, error, code = run_program(BEGIN + """
async def work():
    ran.append(asyncio.get_running_loop())
scheduler = new()
async def main():
    ran.clear()
    scheduler.start()
    scheduler.add_job(work)
    await until(lambda: ran)
    await scheduler.ashutdown()
    return ran[0] is asyncio.get_running_loop()
print(asyncio.run(main()), asyncio.run(main()))
""")
    assert (out, error, code) == ("True True\n", "", 0)


def test_without_a_running_loop_or_in_a_patched_program_the_start_is_refused_with_the_reason() -> None:
    patched = "from gevent import monkey; monkey.patch_all()"
    for first, words in (("", "no event loop runs"), (patched, "use GeventScheduler")):
        out, error, code = run_program(first + BEGIN + """
try:
    new().start()
except ConfigurationError as error:
    print(error)
""")
        assert (error, code) == ("", 0)
        assert words in out


def test_an_executor_without_a_loop_is_refused_where_none_is_lent() -> None:
    out, error, code = run_program(BEGIN + """
scheduler = BackgroundScheduler(executors={"default": {"type": "asyncio"}})
try:
    scheduler.start()
except ConfigurationError as error:
    print(error)
""")
    assert (error, code) == ("", 0)
    assert "it has no event loop" in out


def test_a_coroutine_function_is_refused_where_its_executor_would_not_await_it() -> None:
    assert run("""
async def work():
    ran.append(1)
async def main():
    scheduler = new(executors={"threads": ThreadPoolExecutor(1)})
    for action in (lambda: scheduler.add_job(work, executor="threads"),
                   lambda: BackgroundScheduler().add_job(work),
                   lambda: scheduler.add_job(work, id="x") and scheduler.modify_job("x", executor="threads")):
        try:
            action()
        except InvalidJobError as error:
            print("AsyncIOExecutor" in str(error))
""") == ["True", "True", "True"]


def test_a_stored_coroutine_function_is_parked_where_its_executor_would_not_await_it(tmp_path) -> None:
    (tmp_path / "stored_work.py").write_text("async def work():\n    print('ran', flush=True)\n")
    out, error, code = run_program(f"import sys; sys.path.insert(0, {str(tmp_path)!r})" + BEGIN + f"""
import stored_work
def store():
    return {{"default": SQLJobStore("sqlite:///{tmp_path}/jobs.sqlite", modules=["stored_work"])}}
first = AsyncIOScheduler(jobstores=store())
first.add_job(stored_work.work, "interval", hours=1, id="a", next_run_time="now")
first.close()
import logging; logging.disable()
second = BackgroundScheduler(jobstores=store())
parked = []
second.add_listener(lambda event: parked.append(event.reason), EVENT_JOB_PARKED)
second.start()
while not parked:
    time.sleep(0.01)
second.shutdown()
print("AsyncIOExecutor" in parked[0], flush=True)
async def main():
    third = AsyncIOScheduler(jobstores=store())
    healed = []
    third.add_listener(healed.append, EVENT_JOB_EXECUTED)
    third.start()
    await until(lambda: healed)
    await third.ashutdown()
""" + END)
    assert (out, error, code) == ("True\nran\n", "", 0)
