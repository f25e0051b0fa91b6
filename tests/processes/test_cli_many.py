"""What the command line costs with tens of thousands of jobs."""

from __future__ import annotations

from command_line import gsched, measured, on_terminal

from gsched.schedulers.gevent import GeventScheduler
from gsched.stores import MongoDBJobStore

pytest_plugins = ["mongodb"]

MANY = 50_000
MORE_MEMORY = 40 * 1024 * 1024  # bytes, for many jobs beside one


def test_many_jobs_are_listed_in_bounded_memory(uri, database):
    store = uri.replace("/?", f"/{database.name}?")
    scheduler = GeventScheduler(jobstores={"default": MongoDBJobStore(uri, database=database.name)})
    scheduler.add_job("time:sleep", "interval", hours=1, args=[0], id="seed")
    scheduler.close()
    _, one = measured("job", "list", "--store", store)

    seed = database.jobs.find_one({"_id": "seed"})
    for start in range(0, MANY, 10_000):
        batch = [{**seed, "_id": f"job-{number:06}"} for number in range(start, start + 10_000)]
        database.jobs.insert_many(batch, ordered=False)
    listed, many = measured("job", "list", "--store", store)
    assert listed.count("\n") == MANY + 1
    assert many.memory - one.memory < MORE_MEMORY

    # One of them is found at once, by how its id begins or by how it is spelled.
    assert "job-012345" in gsched("job", "show", "job-01234", "--store", store).err
    assert gsched("job", "show", "job-012345", "--store", store).out.startswith("id\tjob-012345\n")


def test_long_work_shows_how_far_it_has_come(uri, database, tmp_path):
    store = uri.replace("/?", f"/{database.name}?")
    scheduler = GeventScheduler(jobstores={"default": MongoDBJobStore(uri, database=database.name)})
    definitions = [{"func": "time:sleep", "trigger": "interval", "hours": 1, "args": [0]} for _ in range(3000)]
    scheduler.add_jobs(definitions)
    path = str(tmp_path / "jobs.json")
    shown = on_terminal("store", "export", path, "--store", store)
    assert "0/3000" in shown.out and "3000/3000" in shown.out and "exported 3000 jobs" in shown.out
    scheduler.remove_all_jobs()
    scheduler.close()
    shown = on_terminal("store", "import", path, "--store", store)
    assert "importing  3000" in shown.out and "imported 3000 jobs" in shown.out
