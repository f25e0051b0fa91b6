"""gsched.toml, the environment, flags; the page that lists all settings; and the program as it is installed."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runner_rig import environment, write

from gsched import ConfigurationError
from gsched.config import Configuration, origin, read_again, read_configuration, settings, with_flags
from gsched.runner.build import control_scheduler, runner_scheduler

ROOT = Path(__file__).parents[2]


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Reads a file with this text, as the command line does."""

    def read_text(text: str, flags: dict[str, Any] | None = None, **variables: str) -> Configuration:
        return read_configuration(write(tmp_path / "gsched.toml", text), flags, variables)

    return read_text


# -- who counts -----------------------------------------------------------------------------------------------------


def test_flags_count_more_than_the_environment_and_that_more_than_the_file(read):
    text = "[gsched]\nname = 'file'\ndrain_timeout = '10s'\nprobe = ':1'\n"
    found = read(text, {"name": "flag"}, GSCHED_NAME="variable", GSCHED_DRAIN_TIMEOUT="20s")
    assert (found.name, found.drain_timeout, found.probe) == ("flag", 20.0, ":1")
    assert {"name", "drain_timeout", "probe"} <= found.given


def test_without_any_the_defaults_count():
    found = read_configuration(None, {}, {})
    assert (found.processes, found.drain_timeout, found.log_format, found.given) == (1, 25.0, "auto", frozenset())


@pytest.mark.parametrize(
    ("text", "flags", "variables", "place"),
    [
        ("[store]\nurl = 'mongodb://a'", {"memory": True}, {}, "memory"),
        ("[store]\nurl = 'mongodb://a'", {}, {"GSCHED_EMBEDDED": "1"}, "embedded"),
        ("[store]\nmemory = true", {"store": "mongodb://b"}, {"GSCHED_EMBEDDED": "yes"}, "store"),
        ("[store]\nurl = 'mongodb://a'", {}, {"GSCHED_MEMORY": "no"}, "store"),
    ],
)
def test_the_place_of_the_store_is_taken_from_the_strongest_source_that_names_one(read, text, flags, variables, place):
    found = read(text, flags, **variables)
    assert [name for name in ("store", "embedded", "memory") if getattr(found, name)] == [place]


def test_tables_and_dotted_keys_mean_the_same(read):
    text = "[store]\nhistory = { keep = '1d', successes = 'sampled:10' }"
    dotted = "store.history.keep = '1d'\nstore.history.successes = 'sampled:10'"
    for found in (read(text), read(dotted)):
        assert (found.history_keep, found.history_successes) == (86_400.0, 10)


def test_executors_defaults_and_jobs_are_handed_on_as_they_are(read):
    found = read("[executors.a]\ntype = 'threadpool'\n[defaults]\ntimeout = '1m'\n[[job]]\nid = 'x'\n[[job]]\nid = 'y'")
    assert dict(found.executors) == {"a": {"type": "threadpool"}} and dict(found.defaults) == {"timeout": "1m"}
    assert [job["id"] for job in found.jobs] == ["x", "y"]


def test_the_file_is_read_again_below_the_same_flags(read, tmp_path, monkeypatch):
    monkeypatch.delenv("GSCHED_NAME", raising=False)
    before = with_flags(read("[gsched]\nname = 'file'\n[log]\nlevel = 'error'", {"probe": ":9"}), log_level="debug")
    write(tmp_path / "gsched.toml", "[gsched]\nname = 'new'\nprobe = ':1'")
    after = read_again(before)
    assert (before.name, before.log_level) == ("file", "debug")
    assert (after.name, after.log_level, after.probe) == ("new", "debug", ":9")


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gsched]\nname = = 1", r"gsched\.toml: not TOML: .*line 2"),
        ("[gshed]\nname = 'x'", "'gshed' is unknown"),
        ("[gsched]\ntimezon = 'UTC'", "'gsched.timezon' is unknown; did you mean 'gsched.timezone'"),
        ("[store.history]\nkep = '1d'", "did you mean 'store.history.keep'"),
        ("name = 'x'", "'name' is unknown; did you mean 'gsched.name'"),
        ("[gsched]\nname = ''", "gsched.name: expected a text"),
        ("[gsched]\ndrain_timeout = 'soon'", "gsched.drain_timeout: 'soon' is not a duration"),
        ("[gsched]\ndrain_timeout = 0", "gsched.drain_timeout: must be at least"),
        ("[gsched]\nprocesses = 1.5", "gsched.processes: expected a whole number"),
        ("[gsched]\nprocesses = true", "gsched.processes: expected a whole number"),
        ("[store]\nmodules = 'myapp'", "store.modules: expected a list"),
        ("[store]\nhistory.successes = 'some'", "store.history.successes: expected none, all or sampled:N"),
        ("[store]\nmemory = 'perhaps'", "store.memory: expected true or false"),
        ("[log]\nformat = 'xml'", "log.format: expected one of auto, console, json, logfmt"),
        ("executors = 3", "executors: expected a table"),
        ("[gsched]\ntimezone = 'Mars'", r"gsched\.toml: gsched\.timezone: 'Mars' is not in the time zone database"),
        ("[store]\ndatabase = 'a b'", "store.database: expected a name without any of"),
        ("[store]\ncollection = '$a'", r"store.collection: expected a name without any of \$"),
        ("[job]\nid = 'x'", "job: write \\[\\[job\\]\\], in two pairs of brackets, for each entry"),
        ("[store]\nurl = 'mongodb://a'\nmemory = true", r"gsched\.toml: store\.url and store\.memory exclude"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(read, text, message):
    with pytest.raises(ConfigurationError, match=message):
        read(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing\.toml: No such file"):
        read_configuration(tmp_path / "missing.toml")


def test_a_wrong_flag_or_variable_is_named_as_it_was_given(read):
    with pytest.raises(ConfigurationError, match="--processes: expected"):
        read("", {"processes": "many"})
    with pytest.raises(ConfigurationError, match="GSCHED_PROCESSES: expected"):
        read("", {}, GSCHED_PROCESSES="many")
    with pytest.raises(ConfigurationError, match="--store and --memory exclude each other"):
        read("", {"store": "mongodb://a", "memory": True})
    with pytest.raises(ConfigurationError, match="GSCHED_EMBEDDED and GSCHED_MEMORY exclude"):
        read("", {}, GSCHED_EMBEDDED="1", GSCHED_MEMORY="1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[executors.default]\nsizes = 3", "executors.default: executor: 'type' is missing"),
        ("[executors.default]\ntype = 'grenlet'", "executors.default: .*did you mean 'greenlet'"),
        ("[executors.x]\ntype = 'greenlet'\nsizes = 3", "executors.x: .*'sizes' is unknown; did you mean 'size'"),
        ("[defaults]\nmisfire_grace_tim = 3", "defaults: unknown option .* did you mean 'misfire_grace_time'"),
        ("[defaults]\ntimeout = 'soon'", "defaults: timeout: 'soon' is not a duration"),
        ("[store]\nurl = 'nonsense'", "store.url: expected mongodb://"),
        ("[store]\nurl = 'mongodb://u:secret@h/?replicaSett=rs0'", "store.url: .*'replicaSett'.*replicaset"),
    ],
)
@pytest.mark.parametrize("build", [runner_scheduler, control_scheduler])
def test_a_setting_that_the_store_or_scheduler_refuses_is_named_with_its_file_and_key(read, text, message, build):
    place = "" if text.startswith("[store]") else "\n[store]\nurl = 'mongodb://h'"
    with pytest.raises(ConfigurationError, match=rf"gsched\.toml: {message}") as refused:
        build(read(text + place))
    assert "secret" not in str(refused.value)


def test_a_value_is_named_by_where_it_comes_from(read, monkeypatch):
    assert origin(read("[gsched]\nprobe = 'x'"), "probe").endswith("gsched.toml: gsched.probe")
    assert origin(read("[gsched]\nprobe = 'x'", {"probe": "y"}), "probe") == "--probe"
    monkeypatch.setenv("GSCHED_PROBE", "z")
    assert origin(read("[gsched]\nprobe = 'x'"), "probe") == "GSCHED_PROBE"


# -- the page, and the program as it is installed -------------------------------------------------------------------


def test_the_table_of_settings_is_generated_from_the_code() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "generate-docs"))
    assert (ROOT / "docs" / "runner.md").read_text() == script["runner_page"](), "run scripts/generate-docs"


def test_every_flag_of_the_runner_is_a_setting_with_a_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gsched", "run", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    missing = [s.name for s in settings() if s.flags and (s.flags[-1] not in done.stdout or s.variable is None)]
    assert not missing


def test_a_fresh_environment_runs_jobs_from_the_built_wheel(tmp_path: Path) -> None:
    wheel = _built_wheel(tmp_path)
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--python", str(fresh / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=60)
    packages = next(fresh.glob("lib/python*/site-packages"))
    # What it depends on comes from here; files in there that point to the checkout do not count.
    (packages / "dependencies.pth").write_text(str(Path(pytest.__file__).parent.parent) + "\n")
    write(tmp_path / "where.py", """
        import gsched
        from gsched import GeventScheduler
        scheduler = GeventScheduler()
        def where():
            print(gsched.__file__, flush=True)
            scheduler.shutdown()
        scheduler.add_job(where, id="where")
        """)  # fmt: skip
    done = subprocess.run(
        [str(fresh / "bin" / "gsched"), "run", "-A", "where", "--memory"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, str(packages / "gsched" / "__init__.py")), done.stderr


def _built_wheel(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "gsched", source / "gsched", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--use-pep517", "-q", "--no-deps", "-w", str(tmp_path), str(source)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"no wheel can be built here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return next(tmp_path.glob("*.whl"))
