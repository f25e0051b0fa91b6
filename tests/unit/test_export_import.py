"""Jobs as JSON files, and as documents in general."""

from __future__ import annotations

import io
import json
import math
import os
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from gsched import GeventScheduler, InvalidJobError, JobIdConflictError, MemoryJobStore
from gsched.jobs.document import DocumentReader, UnreadableTrigger, changed_fields, job_document
from gsched.jobs.export import from_json, to_json
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.testing import ManualClock
from gsched.triggers import (
    AndTrigger,
    BaseTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
)
from gsched.triggers.reboot import RebootTrigger

HERE = __name__
START = "2026-03-02 12:00"


def poll(url="", *, depth=1):
    return url


def other():
    pass


class Poller:
    @classmethod
    def poll(cls):
        pass

    def here(self):
        pass


def scheduler(modules=(HERE,), **settings):
    return GeventScheduler(clock=ManualClock(START), timezone="UTC", modules=modules, **settings)


def exported(source, **options):
    out = io.StringIO()
    source.export_jobs(out, **options)
    return out.getvalue()


def imported(text, *, target=None, **options):
    target = target or scheduler()
    target.import_jobs(io.StringIO(text), **options)
    return target


def lines(*jobs):
    return "".join(json.dumps(each) + "\n" for each in ({"format": "gsched jobs", "version": 1}, *jobs))


def document(**changes):
    made = job_document(Job("1", poll, DateTrigger("2030-01-01T00:00:00Z"), func_ref=f"{HERE}:poll", next_run_ms=1))
    return {**made, **changes}


def parked(found, allowed=(HERE,)):
    """Why a document gives a parked job."""
    job = DocumentReader(AllowedFunctions(allowed), "default").read(found)
    assert job.parked is not None
    assert job.func is None
    assert not job.has_ended(1 << 50)
    return job.parked


# -- round trips ------------------------------------------------------------------------------------------------------

TRIGGERS = [
    DateTrigger("2027-01-01T00:00:00.123+02:00"),
    DateTrigger(timezone="UTC"),
    IntervalTrigger(seconds=10, timezone="UTC"),
    IntervalTrigger(seconds=0.25, start_date="2026-01-01T00:00:00Z", end_date="2030-01-01T00:00:00Z", jitter=3),
    CronTrigger(day="last sun", hour=3, timezone="Europe/Berlin", start_date="2026-01-01T00:00:00Z"),
    CronTrigger.from_crontab("0 0 1-15 may-aug *", timezone="UTC"),
    CronTrigger.from_crontab("*/5 0 0 * * *", timezone="UTC", seconds=True),
    CalendarIntervalTrigger(months=1, hour=4, start_date="2026-01-31", timezone="UTC"),
    RebootTrigger("UTC"),
    OrTrigger([IntervalTrigger(hours=1, timezone="UTC"), CronTrigger(hour=5, timezone="UTC")], jitter=2),
    AndTrigger([IntervalTrigger(hours=1, timezone="UTC"), CronTrigger(day_of_week="mon", timezone="UTC")]),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=str)
def test_a_job_comes_back_as_it_was(trigger):
    source = scheduler()
    source.add_job(
        poll, trigger, [("http://a", 2)], {"depth": 2}, "a", "the poll", 1.5, False, 4, timeout="90s",
        tags=["web", "hot"], metadata={"owner": {"name": "x"}}, recover=True, executor="default",
    )  # fmt: skip
    target = imported(exported(source))
    assert target.get_job("a").definition == source.get_job("a").definition
    assert target.get_job("a").func is poll


def test_a_policy_comes_back_as_it_was_and_a_default_is_not_written():
    source = scheduler()
    source.add_job(
        poll, "interval", seconds=10, id="a", retry_delay=["1s", "1m"], retry_on=["OSError"], give_up_on=["ValueError"],
        retry_within="1h", retry_max_delay="2h", retry_jitter=0.5, overlap="queue", coalesce=False, max_catchup=5,
        max_runs=7, max_consecutive_failures=3, failure_pause="10m",
        expect_success_every="26h", finish_within="30m", recover=2,
    )  # fmt: skip
    source.add_job(poll, "interval", seconds=10, id="b", overlap="cancel")
    target = imported(exported(source))
    assert target.get_job("a").definition.policy is source.get_job("a").definition.policy
    assert target.get_job("a").policy["retry_delay"] == [1, 60]
    first, second = (json.loads(line) for line in exported(source).splitlines()[1:])
    assert (first["retry_delay"], first["overlap"], first["recover"]) == ([1, 60], "queue", 2)
    assert second["overlap"] == "cancel" and "retries" not in second


def test_the_phase_a_pause_and_the_next_run_time_survive():
    source = scheduler()
    source.add_job(poll, "interval", minutes=10, id="phase")
    source.add_job(poll, "interval", minutes=10, id="paused").pause()
    source.add_job(poll, "interval", minutes=10, id="set", next_run_time="2026-03-02 12:03:07.250")
    target = scheduler()
    target.clock.jump(3 * 60)
    imported(exported(source), target=target)
    assert [job.id for job in target.get_jobs()] == ["set", "phase", "paused"]
    assert target.get_job("phase").next_run_time == datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
    assert target.get_job("paused").state == "paused"
    assert target.get_job("paused").resume().next_run_time == datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
    assert target.get_job("set").definition.next_run_time == datetime(2026, 3, 2, 12, 3, 7, 250_000, tzinfo=UTC)


def test_each_line_is_json_that_people_can_read():
    source = scheduler()
    source.add_job(poll, "interval", seconds=10, args=["http://a"], id="a", misfire_grace_time=30, tags=["web"])
    header, job = map(json.loads, exported(source).splitlines())
    assert header == {"format": "gsched jobs", "version": 1}
    assert job == {
        "id": "a",
        "name": "poll",
        "func": f"{HERE}:poll",
        "args": ["http://a"],
        "kwargs": {},
        "trigger": {
            "type": "interval",
            "seconds": 10,
            "timezone": "UTC",
            "anchor": "2026-03-02T12:00:00.000+00:00",
        },
        "executor": "default",
        "misfire_grace_time": 30,
        "coalesce": True,
        "max_instances": 1,
        "timeout": None,
        "recover": False,
        "tags": ["web"],
        "metadata": {},
        "next_run_time": "2026-03-02T12:00:10.000+00:00",
        "paused": False,
        "pause": None,
        "rev": 1,
    }


def test_a_job_written_by_hand_needs_only_what_it_is_and_when():
    text = lines({"id": "a", "func": f"{HERE}:poll", "trigger": {"type": "interval", "hours": 1}})
    job = imported(f"{text}\n\n").get_job("a")
    assert (job.name, job.next_run_time) == ("a", datetime(2026, 3, 2, 13, tzinfo=UTC))


@pytest.mark.parametrize(
    "value",
    [
        None, True, 1, -(10**30), 1.5, "text", "ünï", [1, [2]], {"a": {"b": [1]}}, {"$date": 1},
        {"a": {"$x": 1, "b": 2}}, {1: "one", (1, 2): "pair"}, (1, (2, [3])), {1, "a"}, b"\x00\xff", uuid.UUID(int=7),
        Decimal("0.10"), math.inf, datetime(2026, 1, 1, 5, 6, 7, 123456), datetime(2026, 1, 1, tzinfo=UTC),
        date(2026, 1, 1), timedelta(seconds=1.5),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
    ],
    ids=repr,
)  # fmt: skip
def test_arguments_keep_value_and_type(value):
    back = from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))
    assert (back, type(back), repr(back)) == (value, type(value), repr(value))


def test_not_a_number_stays_one():
    assert math.isnan(from_json(json.loads(json.dumps(to_json(math.nan), allow_nan=False))))


def test_all_stores_are_exported_or_one():
    source = scheduler(jobstores={"default": MemoryJobStore(), "second": MemoryJobStore()})
    source.add_job(poll, "interval", hours=1, id="a")
    source.add_job(poll, "interval", hours=1, id="b", jobstore="second")
    assert [json.loads(line)["id"] for line in exported(source).splitlines()[1:]] == ["a", "b"]
    only = exported(source, jobstore="second")
    assert [json.loads(line)["id"] for line in only.splitlines()[1:]] == ["b"]
    target = scheduler(jobstores={"default": MemoryJobStore(), "second": MemoryJobStore()})
    assert imported(only, target=target, jobstore="second").get_job("b").jobstore == "second"


def test_no_jobs_are_a_file_too():
    text = exported(scheduler())
    assert text == lines()
    assert imported(text).get_jobs() == []


def test_three_thousand_jobs_come_through():
    source = scheduler()
    source.add_jobs({"func": poll, "trigger": "interval", "seconds": 5, "id": str(n)} for n in range(3000))
    out = io.StringIO()
    assert source.export_jobs(out) == 3000
    assert scheduler().import_jobs(io.StringIO(out.getvalue())) == 3000


# -- files --------------------------------------------------------------------------------------------------------


def test_a_path_works_as_well_as_a_file(tmp_path):
    source, target = scheduler(), scheduler()
    source.add_job(poll, "interval", hours=1, id="a")
    assert source.export_jobs(tmp_path / "jobs.json") == 1
    assert target.import_jobs(str(tmp_path / "jobs.json")) == 1
    assert target.get_job("a") is not None


def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path):
    source, path = scheduler(), tmp_path / "jobs.json"
    source.add_job(poll, "interval", hours=1, id="a")
    source.export_jobs(path)
    before = path.read_text()
    source.add_job(lambda: None, "interval", hours=2, id="bad")
    with pytest.raises(InvalidJobError, match="'bad'"):
        source.export_jobs(path)
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["jobs.json"]


def test_a_failed_export_writes_nothing_to_an_open_file():
    source, out = scheduler(), io.StringIO()
    source.add_job(poll, "interval", hours=1, id="a")
    source.add_job(lambda: None, "interval", hours=2, id="bad")
    with pytest.raises(InvalidJobError):
        source.export_jobs(out)
    assert out.getvalue() == ""


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    scheduler().export_jobs(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").is_file()


def mode_of(path):
    return path.stat().st_mode & 0o777


def test_a_new_export_is_for_its_user_alone_and_a_replaced_one_keeps_its_mode(tmp_path):
    path = tmp_path / "jobs.json"
    scheduler().export_jobs(path)
    assert mode_of(path) == 0o600
    for mode in (0o644, 0o640, 0o400):
        path.chmod(mode)
        scheduler().export_jobs(path)
        assert mode_of(path) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users")
def test_a_replaced_export_keeps_its_owner_and_another_users_link_is_not_followed(tmp_path):
    path, link = tmp_path / "jobs.json", tmp_path / "link"
    path.write_text("before")
    os.chown(path, 65_534, 65_534)
    scheduler().export_jobs(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65_534, 65_534)
    link.symlink_to(path)
    os.chown(link, 65_534, 65_534, follow_symlinks=False)
    before = path.read_text()
    with pytest.raises(PermissionError, match="another user's symbolic link"):
        scheduler().export_jobs(link)
    assert path.read_text() == before


def test_a_device_is_written_to_and_not_replaced():
    scheduler().export_jobs("/dev/null")
    with open("/dev/null", "rb") as device:
        assert device.read() == b""


# -- what cannot be exported --------------------------------------------------------------------------------------


@pytest.mark.parametrize("func", [lambda: None, Poller().here], ids=["lambda", "method of an object"])
def test_functions_that_nobody_else_finds_are_refused(func):
    source = scheduler()
    source.add_job(func, "interval", hours=1, id="bad")
    with pytest.raises(InvalidJobError, match=r"job 'bad'.*top level of a module"):
        exported(source)


def test_a_class_method_is_exported():
    source = scheduler()
    source.add_job(Poller.poll, "interval", hours=1, id="a")
    assert imported(exported(source)).get_job("a").func == Poller.poll


@pytest.mark.parametrize(
    ("value", "where"), [(object(), r"args\[0\]"), ([{"k": 1j}], r"args\[0\]\[0\]\['k'\]: a complex")]
)
def test_arguments_without_a_form_in_json_are_named(value, where):
    source = scheduler()
    source.add_job(poll, "interval", hours=1, args=[value], id="bad")
    with pytest.raises(InvalidJobError, match=f"job 'bad'.*{where}"):
        exported(source)


def test_an_argument_that_contains_itself_is_refused():
    source, value = scheduler(), []
    value.append(value)
    source.add_job(poll, "interval", hours=1, args=[value], id="bad")
    with pytest.raises(InvalidJobError, match="job 'bad'"):
        exported(source)


# -- what cannot be imported --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "[]", "{}", "[" * 100_000, "\x80", '{"format": "gsched jobs", "version": 2}\n'),
        '{"version": 1, "jobs": [\n{"id": "a"}\n]}\n',  # the form before JSON Lines
    ],
)
def test_a_file_without_the_header_is_refused(text):
    expected = r'does not begin with the line \{"format": "gsched jobs", "version": 1\}, as export_jobs writes it'
    with pytest.raises(InvalidJobError, match=expected):
        imported(text)


@pytest.mark.parametrize(
    ("line", "reason"), [("{", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[]", "expected an object, got")]
)
def test_a_line_that_is_no_job_is_refused_by_its_number(line, reason):
    with pytest.raises(InvalidJobError, match=f"^line 2 of the import.*{reason}"):
        imported(lines() + line)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "jobs").write_bytes(lines().encode() + b"\xff\n")
    with pytest.raises(InvalidJobError, match="the import is no text in UTF-8"):
        scheduler().import_jobs(tmp_path / "jobs")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"func": "os:system"}, "outside the modules"),
        ({"func": f"{HERE}:io.open"}, "outside the modules"),
        ({"func": f"{HERE}:gone"}, "has no 'gone'"),
        ({"func": None}, "func: expected a reference"),
        ({"args": [1, 2, 3]}, "does not accept"),
        ({"args": "abc"}, "args: expected a list"),
        ({"args": [{"$nothing": 1}]}, r"tag '\$nothing' is unknown"),
        ({"args": [{"$uuid": 1}]}, "replace"),
        ({"kwargs": {"unknown": 1}}, "does not accept"),
        ({"trigger": {"type": "intervall", "hours": 1}}, "did you mean 'interval'"),
        ({"trigger": {"type": "interval", "hours": -1}}, "must not be negative"),
        ({"max_instances": 0}, "max_instances"),
        ({"max_instances": True}, "max_instances"),
        ({"coalesce": 1}, "coalesce"),
        ({"next_run_time": "soon"}, "soon"),
        ({"next_run_time": "2026-01-01T00:00:00"}, "next_run_time"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"tags": "web"}, "tags"),
        ({"executor": None}, "executor"),
    ],
)
def test_one_wrong_job_stops_the_whole_import(wrong, reason):
    right = {"id": "a", "func": f"{HERE}:poll", "trigger": {"type": "interval", "hours": 1}}
    target = scheduler()
    with pytest.raises(InvalidJobError, match=rf"(?s)^line 3 of the import .*{reason}"):
        imported(lines(right, {**right, "id": "b", **wrong}), target=target)
    assert target.get_jobs() == []


def test_functions_the_program_has_used_may_be_imported():
    source, target = scheduler(), scheduler(modules=())
    source.add_job(poll, "interval", hours=1, id="a")
    with pytest.raises(InvalidJobError, match="outside the modules"):
        imported(exported(source), target=target)
    target.add_job(poll, "interval", hours=1, id="mine")
    assert imported(exported(source), target=target).get_job("a").func is poll


def test_a_taken_id_is_refused_or_replaced():
    source = scheduler()
    source.add_job(poll, "interval", hours=1, id="a", name="first")
    text = exported(source)
    source.modify_job("a", name="second", next_run_time="2026-03-05")
    with pytest.raises(JobIdConflictError):
        imported(text, target=source)
    job = imported(text, target=source, replace_existing=True).get_job("a")
    assert (job.name, job.next_run_time) == ("first", datetime(2026, 3, 2, 13, tzinfo=UTC))


def test_the_same_id_twice_in_a_file_is_refused():
    job = {"id": "a", "func": f"{HERE}:poll", "trigger": {"type": "interval", "hours": 1}}
    target = scheduler()
    with pytest.raises(JobIdConflictError):
        imported(lines(job, job), target=target)
    assert target.get_jobs() == []


# -- documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["id", "func", "trigger", "next_run_time"])
def test_a_document_without_a_needed_field_is_parked(key):
    assert key in parked({name: value for name, value in document().items() if name != key})


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Hostile(dict):
    def __repr__(self):
        raise ValueError("no")


HOSTILE = [7, "x", [1], {"a": 1}, nested(100_000), Hostile(a=1), 1e400, b"x", datetime(1, 1, 1)]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("key", sorted(document()))
def test_no_value_of_any_field_raises(key, value):
    job = DocumentReader(AllowedFunctions([HERE]), "default").read(document(**{key: value}))
    assert job.parked is None or len(job.parked) <= 500
    assert job.next_due_ms(1 << 50) is None or job.parked is None


def test_an_unreadable_trigger_is_kept_as_it_was():
    fields = {"type": "sunrise", "latitude": 52.5}
    job = DocumentReader(AllowedFunctions([HERE]), "default").read(document(trigger=fields))
    assert "'sunrise' is unknown" in job.parked
    assert isinstance(job.trigger, UnreadableTrigger)
    assert job.next_due_ms(1 << 50) is None
    assert job_document(job)["trigger"] == fields
    assert job_document(job)["func"] == f"{HERE}:poll"


def test_a_function_that_is_gone_keeps_its_reference():
    job = DocumentReader(AllowedFunctions(["gone_module"]), "default").read(document(func="gone_module:f"))
    assert "cannot import" in job.parked
    assert (job.func, job.func_ref, job_document(job)["func"]) == (None, "gone_module:f", "gone_module:f")


def test_every_reason_is_told():
    reason = parked(document(func="os:system", max_instances=0, tags=7))
    assert all(part in reason for part in ("os:system", "max_instances", "tags"))


def test_unknown_fields_are_ignored():
    assert DocumentReader(AllowedFunctions([HERE]), "default").read(document(colour="red")).parked is None


def test_jobs_with_equal_triggers_share_one():
    reader = DocumentReader(AllowedFunctions([HERE]), "default")
    first, second = (reader.read(document(trigger={"type": "cron", "hour": 5, "timezone": "UTC"})) for _ in "ab")
    assert first.trigger is second.trigger


@pytest.mark.parametrize(("value", "lookalike"), [(1, True), (1, 1.0), (5, 5.0)])
def test_values_that_only_compare_as_equal_do_not_share(value, lookalike):
    reader = DocumentReader(AllowedFunctions([HERE]), "default")
    for hour in (value, lookalike):
        fields = {"type": "cron", "hour": hour, "timezone": "UTC"}
        alone = DocumentReader(AllowedFunctions([HERE]), "default")
        assert (reader.read(document(trigger=fields)).parked is None) == (
            alone.read(document(trigger=dict(fields))).parked is None
        )
    for coalesce in (True, 1):
        assert (reader.read(document(coalesce=coalesce)).parked is None) == (coalesce is True)


def test_intervals_keep_their_own_anchors():
    reader = DocumentReader(AllowedFunctions([HERE]), "default")
    for second in (1, 2):
        anchor = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
        trigger = reader.read(document(trigger={"type": "interval", "hours": 1, "anchor": anchor})).trigger
        assert trigger == IntervalTrigger(hours=1, anchor=anchor)


def test_a_plugin_that_raises_anything_is_no_danger(monkeypatch):
    class Broken(BaseTrigger):
        alias = "broken"

        def __init__(self):
            raise OSError("the almanac is missing")

        def next_ms(self, after):
            return None

        def to_fields(self):
            return {}

    monkeypatch.setattr("gsched.triggers.registry.trigger_class", lambda name: Broken)
    assert parked(document(trigger={"type": "broken"})) == "trigger: OSError"


def test_only_what_changed_is_written():
    job = DocumentReader(AllowedFunctions([HERE]), "default").read(document())
    assert changed_fields(job, job.evolve(rev=2)) == {}
    assert changed_fields(job, job.evolve(name="x", misfire_grace_ms=1500, func=other, func_ref=f"{HERE}:other")) == {
        "name": "x",
        "misfire_grace_time": 1.5,
        "func": f"{HERE}:other",
    }
    with pytest.raises(InvalidJobError, match="lambda"):
        changed_fields(job, job.evolve(func=lambda: None, func_ref=None))
