"""gsched store, check and completion."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from command_line import gsched, in_process, in_shell

from gsched.runner.exit_codes import Exit

pytest_plugins = ["mongodb"]


def add(jobs, *ids, **options):
    for job_id in ids:
        jobs.add_job("time:sleep", "interval", hours=1, args=[0], id=job_id, **options)


# -- store ----------------------------------------------------------------------------------------------------------


def test_init_makes_collections_and_indexes(address, database):
    for _ in range(2):
        assert in_process("store", "init", "--store", address).code == Exit.OK
    assert {"jobs", "jobs.nodes", "jobs.slots", "jobs.runs"} <= set(database.list_collection_names())
    assert "listing" in database.jobs.index_information() and "scheduled" in database.jobs.runs.index_information()


def test_stats_count_what_there_is(address, jobs, database):
    add(jobs, "a", "b", "c")
    jobs.pause_job("b")
    database.jobs.update_one({"_id": "c"}, {"$set": {"parked": "gone"}})
    old = datetime(2026, 1, 2, tzinfo=UTC)
    database.jobs.runs.insert_many(
        [{"_id": f"a@{n}#1", "state": "ended", "outcome": "failed", "scheduled_at": old} for n in range(3)]
    )
    stats = json.loads(in_process("store", "stats", "--store", address, "-o", "json").out)
    assert [stats[name] for name in ("jobs", "scheduled", "paused", "parked")] == [3, 1, 1, 1]
    assert (stats["records_by_outcome"], stats["oldest_record"]) == ({"failed": 3}, "2026-01-02T00:00:00+00:00")
    assert stats["bytes"] > 0 and stats["nodes"] == {}


def test_purge_removes_what_is_older_and_nothing_in_progress(address, database):
    long_ago, lately = (datetime.now(UTC) - timedelta(days=days) for days in (20, 1))
    ended = {"state": "ended", "outcome": "failed", "job_id": "a"}
    database.jobs.runs.insert_many(
        [
            {"_id": "old#1", **ended, "scheduled_at": long_ago},
            {"_id": "new#1", **ended, "scheduled_at": lately},
            {"_id": "span#0", **ended, "scheduled_at": long_ago, "until": lately},
            {"_id": "running#1", "state": "running", "job_id": "a", "scheduled_at": long_ago},
        ]
    )
    purge = ("store", "purge", "--older-than", "14d", "--store", address)
    asked, tried, done = in_process(*purge), in_process(*purge, "--dry-run"), in_process(*purge, "--yes")
    assert asked.code == Exit.USAGE and "Remove 1 records" in asked.err and "--yes" in asked.err
    assert (tried.err, tried.code) == ("gsched: 1 records are older\n", Exit.OK)
    assert (done.err, done.code) == ("gsched: removed 1 records\n", Exit.OK)
    assert {each["_id"] for each in database.jobs.runs.find()} == {"new#1", "span#0", "running#1"}
    assert in_process("store", "purge", "--older-than", "soon", "--store", address).code == Exit.USAGE


def test_exported_jobs_are_imported(address, jobs, database, tmp_path):
    add(jobs, "a", "日\n本", tags=["t"])
    jobs.pause_job("a")
    before = {job.id: (job.state, job.next_run_time, job.tags, job.func_ref) for job in jobs.get_jobs()}
    exported = in_process("store", "export", str(tmp_path / "jobs.json"), "--store", address)
    assert (exported.out, exported.err, exported.code) == ("", "gsched: exported 2 jobs\n", Exit.OK)

    taken = in_process("store", "import", str(tmp_path / "jobs.json"), "--store", address)
    assert taken.code == Exit.CONFLICT and "--replace" in taken.err
    jobs.resume_job("a")
    assert in_process("store", "import", str(tmp_path / "jobs.json"), "--replace", "--store", address).code == Exit.OK
    jobs.remove_all_jobs()
    piped = in_shell(f"gsched store import - --store '{address}' < {tmp_path / 'jobs.json'}")
    assert (piped.err, piped.code) == ("gsched: imported 2 jobs\n", Exit.OK)
    assert {job.id: (job.state, job.next_run_time, job.tags, job.func_ref) for job in jobs.get_jobs()} == before


def test_a_wrong_import_changes_nothing(address, jobs, database):
    job = {"func": "time:sleep", "args": [0], "trigger": {"type": "interval", "hours": 1}}
    header = {"format": "gsched jobs", "version": 1}
    wrong = [header, {"id": "right", **job}, {"id": "wrong", **job, "max_instances": 0}]
    twice = [header, {"id": "same", **job}, {"id": "same", **job}]
    files = [("\n".join(map(json.dumps, each)), code) for each, code in ((wrong, Exit.FAILED), (twice, Exit.CONFLICT))]
    for text, code in (*files, ("{", Exit.FAILED)):
        done = in_process("store", "import", "-", "--store", address, stdin=text)
        assert done.code == code and done.err.startswith("gsched: "), done
    assert database.jobs.count_documents({}) == 0


# -- check ----------------------------------------------------------------------------------------------------------

APPLICATION = """
from gsched import GeventScheduler
def work(): pass
scheduler = GeventScheduler()
scheduler.add_job(work, "cron", hour=3, id="waiting", timezone="UTC")
"""
DECLARED = """
[gsched]
app = "shop:scheduler"
[[job]]
id = "declared"
func = "shop:work"
trigger = { type = "interval", minutes = 1 }
"""


def test_check_shows_all_jobs_and_stores_none(address, jobs, database, tmp_path):
    add(jobs, "stored")
    (tmp_path / "shop.py").write_text(APPLICATION)
    (tmp_path / "gsched.toml").write_text(DECLARED)
    done = gsched("check", "-c", "gsched.toml", "--store", address, "-o", "json", directory=tmp_path)
    assert done.code == Exit.OK and "store default: answers" in done.err
    found = {each["id"]: (each["source"], len(each["next_run_times"])) for each in json.loads(done.out)}
    assert found == {"waiting": ("application", 3), "declared": ("declared", 3), "stored": ("stored", 3)}
    assert [each["_id"] for each in database.jobs.find()] == ["stored"]
    assert database.list_collection_names() == ["jobs"], "nothing was started"


def test_check_shows_what_h_stands_for_and_the_next_times(tmp_path):
    (tmp_path / "shop.py").write_text(APPLICATION.replace('"cron", hour=3, id="waiting"', '"H H * * *", id="backup"'))
    entry = DECLARED.replace('{ type = "interval", minutes = 1 }', '{ type = "cron", day = "LW", hour = "H" }')
    (tmp_path / "gsched.toml").write_text(entry)
    (tmp_path / "tab").write_text("H 3 * * 5#2 poll\n")
    done = gsched("check", "-c", "gsched.toml", "--memory", "--crontab", "tab", "-o", "json", directory=tmp_path)
    found = {each["id"]: each for each in json.loads(done.out)}
    assert found["backup"]["trigger"] == "cron[crontab='H H * * *', resolved='26 23 * * *']"
    assert {time[10:19] for time in found["backup"]["next_run_times"]} == {"T23:26:00"}
    assert "resolved='hour " in found["declared"]["trigger"] and len(found["declared"]["next_run_times"]) == 3
    assert " 3 * * 5#2'" in found["tab/poll"]["trigger"] and len(found["tab/poll"]["next_run_times"]) == 3


def test_check_warns_of_jobs_that_are_never_retried(tmp_path):
    late = ', seconds=30, retries=3, retry_delay=45)\n'
    (tmp_path / "shop.py").write_text(f"{APPLICATION}scheduler.add_job(work, 'interval', id='waits'{late}")
    retried = 'id = "declared"\nretries = 3\nretry_delay = "'
    (tmp_path / "gsched.toml").write_text(DECLARED.replace('id = "declared"', f'{retried}2m"'))
    done = gsched("check", "-c", "gsched.toml", "--memory", directory=tmp_path)
    comes_first = "is never retried: its next run comes first: a retry waits "
    assert done.code == Exit.OK and done.err.count("never retried") == 2
    for job_id, wait, gap in (("waits", 40, 30), ("declared", 108, 60)):
        said = f"warning: job '{job_id}' {comes_first}{wait} s or longer, and the next run comes within {gap} s"
        assert said in done.err
    (tmp_path / "gsched.toml").write_text(DECLARED.replace('id = "declared"', f'{retried}5s"'))
    assert "'declared'" not in gsched("check", "-c", "gsched.toml", "--memory", directory=tmp_path).err


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("x = 1\nx.y\n", "AttributeError: 'int' object has no attribute 'y' ("),
        ("def broken(:\n", "SyntaxError: "),
        ("import nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
        ("scheduler = 7\n", "expected a GeventScheduler"),
    ],
)
def test_check_explains_a_broken_application_in_a_line(tmp_path, program, said):
    (tmp_path / "shop.py").write_text(program)
    done = gsched("check", "-A", "shop:scheduler", "--memory", directory=tmp_path)
    assert (done.out, done.code) == ("", Exit.INVALID)
    assert said in done.err and done.err.count("\n") == 1 and "Traceback" not in done.err
    assert said.startswith("expected") or "shop.py:" in done.err


def test_check_says_that_the_store_does_not_answer(tmp_path):
    (tmp_path / "shop.py").write_text(APPLICATION)
    nobody = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
    done = gsched("check", "-A", "shop:scheduler", "--store", nobody, directory=tmp_path)
    assert done.code == Exit.UNREACHABLE and "waiting\tapplication" in done.out


def test_an_application_with_nameless_jobs_has_them_in_memory_for_every_command(uri, tmp_path):
    (tmp_path / "shop.py").write_text(APPLICATION.replace(', id="waiting"', ""))
    here = {"directory": tmp_path, "XDG_STATE_HOME": str(tmp_path)}
    done = gsched("check", "-A", "shop:scheduler", **here)
    assert (done.code, "store: memory" in done.err) == (Exit.OK, True)
    listed = gsched("job", "list", "-A", "shop:scheduler", **here)
    assert listed.code == Exit.INVALID and "memory store" in listed.err


# -- completion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_a_completion_script(shell):
    done = in_process("completion", shell)
    assert "_GSCHED_COMPLETE" in done.out and done.code == Exit.OK


def test_job_ids_are_completed_if_a_database_answers(address, jobs):
    add(jobs, "refresh-prices", "refresh-stock", "nightly", "odd\nid")

    def completed(line, **variables):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_GSCHED_COMPLETE": "bash_complete"}
        return [each.split(",")[1] for each in gsched(**words, **variables).out.split()]

    assert completed("gsched job show re", GSCHED_STORE=address) == ["refresh-prices", "refresh-stock"]
    assert completed("gsched job show o", GSCHED_STORE=address) == []
    assert completed("gsched job show re", GSCHED_STORE="mongodb://127.0.0.1:1/") == []
    assert "pause" in completed("gsched job p")
