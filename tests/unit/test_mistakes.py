"""Mistakes of new users, in TOML, crontabs and arguments: each is answered by one clear line."""

from __future__ import annotations

import pytest
from command_line import gsched, in_process
from runner_rig import write

from gsched import ConfigurationError, GeventScheduler
from gsched.config import read_configuration
from gsched.runner.declared import read_declarations

# A line of a [[job]] that is right otherwise, and what is said of it.
OF_JOBS = {
    'schedule = "x"': "the key 'schedule' is unknown; write trigger = \"*/5 * * * *\"",
    'every = "5m"': "the key 'every' is unknown; write trigger = {type = \"interval\", minutes = 5}",
    'at = "10:00"': "the key 'at' is unknown; write trigger = {type = \"date\", run_date = ",
    'cron = "x"': "the key 'cron' is unknown; write trigger = \"*/5 * * * *\"",
    "minutes = 5": "the key 'minutes' is unknown; write trigger = {type = \"interval\"",
    "hour = 5": "the key 'hour' is unknown; write trigger = \"*/5",
    "max_attempts = 3": "the key 'max_attempts' is unknown; write retries = 3",
    'cmd = "x"': "the key 'cmd' is unknown; write command = ",
    'workdir = "/"': "the key 'workdir' is unknown; write cwd = ",
    "environment = {}": "the key 'environment' is unknown; write env = ",
    'run_as = "me"': "the key 'run_as' is unknown; write user = ",
    'description = "x"': "the key 'description' is unknown; write name = ",
    "concurrency = 1": "the key 'concurrency' is unknown; write max_instances = 1",
    'timezone = "UTC"': "the key 'timezone' is unknown; it belongs in the trigger's table: ",
    "start_date = 2026-01-01": "it belongs in the trigger's table: trigger = {type = ..., start_date = ",
    "jitter = 5": "it belongs in the trigger's table: trigger = {type = ..., jitter = 30}",
    'mailto = "me"': "the key 'mailto' is unknown; write notify = [\"ops\"], and [notify.ops]",
    'log = "x"': "the key 'log' is unknown; output goes to the log",
    'next_run_time = "now"': "the key 'next_run_time' is unknown; the trigger says when the job is due",
    "max_instance = 1": "the key 'max_instance' is unknown; did you mean 'max_instances'?",
    '"Max-Instances" = 3': "did you mean 'max_instances'?",
    "colour = 3": "the key 'colour' is unknown",
    'max_instances = "1"': "max_instances: expected a whole number from 1, got '1'",
    "max_instances = -1": "max_instances: expected a whole number from 1, got -1",
    'timeout = "5 minutes"': "timeout: '5 minutes' is not a duration; write it as '90s', '10m'",
    "timeout = 0": "timeout: must be at least a millisecond, got 0",
    "timeout = []": "timeout: expected seconds, a timedelta or text",
    'misfire_grace_time = "never"': "misfire_grace_time: 'never' is not a duration",
    'coalesce = "true"': "coalesce: expected True or False, got 'true'",
    'recover = "yes"': "recover: expected True, False or a whole number from 1, got 'yes'",
    'retry_on = ["OSError"]': "retry_on: the job has no retries; say how many: retries=3",
    'retry_delay = ["1s", "soon"]': "retry_delay: 'soon' is not a duration; write it as '90s', '10m'",
    'retry_delay = [1, 5]\nretry_backoff = 2': "retry_backoff: the delays of a list do not grow; leave it out",
    'overlap = "allow"': "overlap: expected 'skip', 'queue' or 'cancel', got 'allow'; to let runs overlap, raise",
    "max_catchup = 5": "max_catchup: 5 needs coalesce=False",
    'failure_pause = "10m"': "failure_pause: it needs max_consecutive_failures",
    'tags = "a"': "tags: expected a list of texts, got 'a'",
    "tags = [1]": "tags: expected a text that is not empty, got 1",
    'metadata = "x"': "metadata: expected a table without 'declared_by', got 'x'",
    "env = {A = 5}": "env.A: expected a text, got 5; write \"5\"",
    "env = {A = true}": "env.A: expected a text, got True",
    'env = "A=b"': "env: expected a table of names and texts, got 'A=b'",
    'env = {"A=B" = "x"}': "env: 'A=B' cannot be a variable's name",
    'env = {"" = "x"}': "env: '' cannot be a variable's name",
    'env = {A = "\\u0000"}': "env.A: it has a NUL character",
    "cwd = 5": "cwd: expected a text that is not empty, got 5",
    'cwd = ""': "cwd: expected a text that is not empty, got ''",
    "user = 0": "user: expected a text that is not empty, got 0",
    'shell = ["bash"]': "shell: expected a text that is not empty, got ['bash']",
    "stdin = 5": "stdin: expected a text, got 5",
    'max_lines = "5"': "max_lines: expected a whole number from 0, got '5'",
    "max_lines = -1": "max_lines: expected a whole number from 0, got -1",
    "max_lines = true": "max_lines: expected a whole number from 0, got True",
    "log_output = 1": "log_output: expected true or false, got 1",
    "nice = 20": "nice: expected a whole number from -20 to 19, got 20",
    'nice = "5"': "nice: expected a whole number from -20 to 19, got '5'",
    "umask = 27": "umask: expected three octal digits as a text, such as \"027\", got 27",
    'umask = "778"': "umask: expected three octal digits as a text, such as \"027\", got '778'",
    'memory_max = "512M"': "memory_max: expected a size from 1MiB to 1048576GiB, such as \"64KiB\" or \"1MiB\", got",
    "memory_max = 1000": "memory_max: expected a size from 1MiB",
    'cpu_time_max = "1500ms"': "cpu_time_max: ",
    "cpu_time_max = 0.5": "cpu_time_max: expected whole seconds, such as 10 or '10s', got 0.5",
    'env_file = "variables"': "env_file: expected an absolute path, got 'variables'",
    'memory = "1GiB"': "the key 'memory' is unknown; did you mean 'memory_max'?",
    'keep_output = "64kb"': "keep_output: expected a size from 1KiB to 1MiB, such as \"64KiB\" or \"1MiB\", got '64kb'",
    "keep_output = true": "keep_output: expected a size from 1KiB to 1MiB",
    'name = ""': "name: expected a text that is not empty, got ''",
    'executor = "threads"': "executor: 'threads' is unknown; there are default",
    'jobstore = "redis"': "jobstore: 'redis' is unknown; there are default",
    'func = "x:y"': "write either func or command",
    "args = [1]": "args: only a job with a function has args; write a command's arguments into the command",
}
# What stands for a trigger, and what is said of it.
OF_TRIGGERS = {
    '"* * * *"': "crontab '* * * *': 4 fields, expected 5 (minute, hour",
    '"every 5 minutes"': "for an interval, write {type = \"interval\", minutes = 5}",
    '"5m"': "for an interval, write {type = \"interval\", minutes = 5}",
    '""': "for an interval, write {type = \"interval\", minutes = 5}",
    '"@dayly"': "not one of @hourly, @daily",
    "5": "expected a cron expression, or a table with a type, got 5",
    "{minutes = 5}": "the type is missing: interval, cron, date",
    "{}": "the type is missing",
    "{type = 5}": "the type is missing",
    '{type = "interval"}': "the interval must be at least 1 ms (nothing given); use weeks, days, hours",
    '{type = "interval", minute = 5}': "the argument 'minute' is unknown; did you mean 'minutes'?",
    '{type = "interval", minutes = "5"}': "minutes '5': expected a number",
    '{type = "interval", minutes = 5, start = 2026-01-01}': "'start' is unknown; did you mean 'start_date'?",
    '{type = "interval", minutes = 5, jitter = "30s"}': "jitter '30s': expected a number",
    '{type = "interval", minutes = 5, timezone = "CEST"}': "timezone: 'CEST' is not in the time zone database",
    '{type = "interval", minutes = 5, start_date = 2026-01-02, end_date = 2026-01-01}': "is before start_date",
    '{type = "intervall", minutes = 5}': "trigger type 'intervall' is unknown; did you mean 'interval'?",
    '{type = "cron"}': "none of its fields is given, which would be every second",
    '{type = "cron", hours = 5}': "'hours' is unknown; did you mean 'hour'?",
    '{type = "cron", hour = 25}': "hour '25': 25 is above the highest hour, 23",
    '{type = "cron", day_of_week = "monday"}': "'monday' is not one of mon, tue",
    '{type = "cron", day_of_week = 7}': "7 is above the highest day_of_week, 6",
    '{type = "cron", day = 31, month = 2}': "never due: there is no such time",
    '"0 0 31 2 *"': "never due: there is no such time",
    '"61 * * * *"': "minute '61': 61 is not from 0 to 59",
    '"0 0 0 ? * mon"': "from_quartz",
    '{type = "cron", quartz = "0 0 9 * * *"}': "must be '?', and neither is",
    '{type = "cron", crontab = "H 9 * * *", hash_key = ""}': "hash_key '': expected a text that is not empty",
    '{type = "cron", day = "15W,20"}': "'W' takes one day, alone in its field",
    '{type = "interval", minutes = 5, between = "9-17"}': "between '9-17': expected two times of day",
    '{type = "interval", minutes = 5, days = "2"}': "a text is a list of weekdays by name",
    '"*/10 * * * * *"': "6 fields, expected 5",
    '{type = "date"}': "run_date is missing",
    '{type = "date", run_date = "tomorrow"}': "'tomorrow' is not an ISO-8601 date or time",
    '{type = "date", date = 2030-01-01}': "the argument 'date' is unknown; did you mean 'run_date'?",
    '{type = "or", triggers = []}': "triggers: expected at least one",
    '{type = "or", triggers = ["@daily", "61 * * * *"]}': "minute '61'",
    '{type = "and", triggers = "x"}': "triggers 'x': expected a list of triggers",
}
# Whole files.
OF_FILES = {
    "[job]\nid = 'a'": "job: write [[job]], in two pairs of brackets, for each entry",
    "[[jobs]]\nid = 'a'": "the key 'jobs' is unknown; write [[job]] for each of them",
    "name = 'x'": "the key 'name' is unknown; did you mean 'gsched.name'?",
    "[gsched]\nname = 5": "gsched.name: expected a text, got 5",
    "[gsched]\ntimezone = 'CEST'": "gsched.timezone: 'CEST' is not in the time zone database",
    "[gsched]\ndrain_timeout = '25 sec'": "gsched.drain_timeout: '25 sec' is not a duration",
    "[gsched]\nprocesses = 0": "gsched.processes: expected a whole number from 1, got 0",
    "[scheduler]\nx = 1": "the key 'scheduler' is unknown; such settings are in [gsched]",
    "[store]\nembedded = 'maybe'": "store.embedded: expected true or false, got 'maybe'",
    "[store]\nmemory = true\nembedded = true": "store.embedded and store.memory exclude each other",
    "[store.history]\nkeep = 'forever'": "store.history.keep: 'forever' is not a duration",
    "[store.history]\nsuccesses = 'some'": "store.history.successes: expected none, all or sampled:N",
    "[mongodb]\nhost = 'x'": "the key 'mongodb' is unknown; write url = \"mongodb://...\" in [store]",
    "[redis]\nhost = 'x'": "the key 'redis' is unknown; the sections are gsched, web, store",
    "[log]\nlevel = 'verbose'": "log.level: expected one of debug, info, warning, error, got 'verbose'",
    "[log]\nfile = 'x'": "the key 'log.file' is unknown; log lines go to standard error: redirect it",
    "x = ": "not TOML: Invalid value",
    "[gsched\n": "not TOML: Expected ']' at the end of a table declaration (at line 1",
    "gsched:\n  name: x": "not TOML: Expected '=' after a key",
}
# Arguments, and what is said of them.
OF_ARGUMENTS = {
    "jobs": "No such command 'jobs'. Write: gsched job list",
    "nods": "No such command 'nods'. Did you mean 'node'?",
    "job lst": "No such command 'lst'. Did you mean 'list'?",
    "job show": "Missing argument 'JOB'.",
    "job show x --memory": "a memory store is inside the process that runs it, and out of reach from here",
    "job list --stroe x": "No such option '--stroe'",
    "job list --store localhost": "--store: expected mongodb://..., mongodb+srv://... or sqlite:///FILE",
    "job list -c nofile": "nofile: No such file or directory",
    "job list -c /": "/: Is a directory",
    "job list --embedded --data /nonexistent": "there is no file /nonexistent/jobs.sqlite",
    "job list --embedded-mongodb --data /nonexistent": "there is no private MongoDB in /nonexistent",
    "job list --limit 0": "Invalid value for '--limit'",
    "job list --state done": "'done' is not one of 'scheduled', 'paused', 'parked'",
    "job list -o xml": "'xml' is not one of 'table', 'plain', 'json', 'jsonl'",
    "job list --tz CEST": "'CEST' is not in the time zone database",
    "job set x --embedded --data none --every x": "'x' is not a duration; write it as '90s'",
    "job set x --memory": "Nothing to change: name an option.",
    "job set x --memory --cron a --quartz b": "--cron and --quartz exclude each other.",
    "job set x --memory --cron a --days mon": "--days needs --every.",
    "job set x --memory --between 9-17": "--between needs --every.",
    "crontab explain --quartz 0_0_9_*_*_*": "must be '?', and neither is",
    "run --processes two": "--processes: expected a whole number from 1, got 'two'",
    "run --drain-timeout soon": "--drain-timeout: 'soon' is not a duration",
    "run --log-level loud": "--log-level: expected one of debug, info, warning, error, got 'loud'",
    "run --memory --embedded": "--embedded and --memory exclude each other: name one place",
    "run extra": "Got unexpected extra argument (extra)",
    "check -c": "Option '-c' requires an argument.",
    "crontab import": "Missing argument 'FILE|-'.",
    "crontab import nofile --dry-run": "nofile: No such file or directory",
    "crontab import /etc --dry-run": "/etc: Is a directory",
    "crontab explain 61_*_*_*_*": "minute '61': 61 is not from 0 to 59",
    "crontab explain *_*_*_*": "4 fields, expected 5 (minute, hour",
    "store purge": "Missing option '--older-than'.",
    "store import nofile --memory": "File 'nofile' does not exist",
    "completion tcsh": "'tcsh' is not one of 'bash', 'zsh', 'fish'",
    "-x": "No such option '-x'.",
}


def mistakes_in(path) -> list[str]:
    """The lines with which a file is refused."""
    with pytest.raises(ConfigurationError) as refused:
        read_declarations(read_configuration(path), GeventScheduler(timezone="UTC"))
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return lines


@pytest.mark.parametrize("line", OF_JOBS)
def test_a_mistake_in_a_job_is_one_line_with_entry_key_and_remedy(tmp_path, line):
    path = write(tmp_path / "a.toml", f'[[job]]\nid = "a"\ncommand = "true"\ntrigger = "@daily"\n{line}\n')
    (said,) = mistakes_in(path)
    assert "[[job]] 1 ('a'): " in said and OF_JOBS[line] in said


@pytest.mark.parametrize("trigger", OF_TRIGGERS)
def test_a_mistake_in_a_trigger_is_one_line(tmp_path, trigger):
    path = write(tmp_path / "a.toml", f'[[job]]\nid = "a"\ncommand = "true"\ntrigger = {trigger}\n')
    (said,) = mistakes_in(path)
    assert "[[job]] 1 ('a'): trigger: " in said and OF_TRIGGERS[trigger] in said


@pytest.mark.parametrize("text", OF_FILES)
def test_a_mistake_in_a_file_is_one_line_with_section_and_key(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    (said,) = mistakes_in(tmp_path / "a.toml")
    assert OF_FILES[text] in said


@pytest.mark.parametrize("arguments", OF_ARGUMENTS)
def test_a_mistake_in_arguments_is_answered_without_a_traceback(arguments):
    words = [word.replace("_", " ") for word in arguments.split()]
    out, err, code = in_process(*words)
    assert code in (2, 3, 5) and out == "" and "Traceback" not in err
    assert sum(OF_ARGUMENTS[arguments] in line for line in err.splitlines()) == 1


ALL_WRONG = """
[gsched]
timezon = "UTC"
processes = 0
[executors.threads]
type = "thread"
[defaults]
coalesce = "yes"
[command_defaults]
nicer = 5
umask = "9"
keep_output = 5
[[job]]
id = "a"
schedule = "*/5 * * * *"
command = "true"
max_lines = "5"
env = {A = 5}
[[job]]
id = "b"
trigger = "61 * * * *"
func = "time:tiem"
executor = "threads"
"""


def test_everything_that_is_wrong_with_a_file_is_listed_at_once(tmp_path):
    (tmp_path / "a.toml").write_text(ALL_WRONG)
    done = gsched("check", "--memory", "-c", "a.toml", directory=tmp_path)
    said = [line.removeprefix("gsched: ").removeprefix("a.toml: ") for line in done.err.splitlines()]
    assert (done.code, done.out) == (3, "")
    assert [line.partition(" is unknown")[0].partition("expected")[0] for line in said] == [
        "the key 'gsched.timezon'",
        "gsched.processes: ",
        "executors.threads: executor type 'thread'",
        "defaults: coalesce: ",
        "command_defaults: the key 'nicer'",
        "command_defaults: umask: ",
        "command_defaults: keep_output: ",
        "[[job]] 1 ('a'): the key 'schedule'",
        "[[job]] 1 ('a'): env.A: ",
        "[[job]] 1 ('a'): max_lines: ",
        "[[job]] 2 ('b'): func: 'time:tiem': 'time' has no 'tiem'",
        "[[job]] 2 ('b'): trigger: crontab: minute '61': 61 is not from 0 to 59",
    ]


NOT_HERE = '[[job]]\nid = "a"\ncommand = "x"\ntrigger = "@daily"\ncwd = "/nope"\nshell = "/bin/nosh"\nuser = "nosuch"\n'


def test_check_names_what_a_command_needs_and_this_machine_lacks(tmp_path):
    (tmp_path / "a.toml").write_text(NOT_HERE)
    done = gsched("check", "--memory", "-c", "a.toml", directory=tmp_path)
    said = [line.removeprefix("gsched: ").removeprefix("a.toml: [[job]] 1 ('a'): ") for line in done.err.splitlines()]
    assert (said, done.code) == (
        ["shell: there is no program '/bin/nosh' on this machine", "user: there is no user 'nosuch' on this machine",
         "cwd: there is no directory /nope on this machine"], 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[gsched]\nprobe = "localhost"', "a.toml: gsched.probe: expected HOST:PORT or a port from 0 to 65535"),
        ("[gsched]\nprocesses = 2", "2 processes cannot share jobs in memory"),
        ('[gsched]\napp = "nosuch"', "app 'nosuch': there is no module 'nosuch'"),
        ('[gsched]\ncrontab = "nofile"', "nofile: No such file or directory"),
    ],
)
def test_check_names_what_would_keep_a_runner_from_starting(tmp_path, text, said):
    (tmp_path / "a.toml").write_text(text)
    done = gsched("check", "--memory", "-c", "a.toml", directory=tmp_path)
    assert (done.err.count("\n"), done.code) == (1, 3) and said in done.err


def test_check_says_that_a_job_is_not_due_any_more(tmp_path):
    trigger = '{type = "interval", minutes = 5, end_date = 2020-01-01}'
    (tmp_path / "a.toml").write_text(f'[[job]]\nid = "a"\ncommand = "true"\ntrigger = {trigger}\n')
    done = gsched("check", "--memory", "-c", "a.toml", directory=tmp_path)
    assert "gsched: job 'a' is not due any more\n" in done.err and done.code == 0
