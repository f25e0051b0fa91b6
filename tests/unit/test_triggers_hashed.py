"""H: values that a hash of the job's id chooses."""

from collections import Counter
from datetime import UTC, datetime
from zlib import crc32

import pytest
from hypothesis import given, settings, strategies as st
from trigger_oracles import wall_times

from gsched import GeventScheduler, MemoryJobStore
from gsched.errors import InvalidTriggerError
from gsched.jobs.document import DocumentReader, job_document
from gsched.jobs.funcref import AllowedFunctions
from gsched.testing import ManualClock
from gsched.triggers import CronTrigger, IntervalTrigger, OrTrigger, trigger_fields, trigger_from_fields


def poll():
    pass


@pytest.fixture
def scheduler():
    clock = ManualClock(datetime(2027, 1, 1, tzinfo=UTC))
    made = GeventScheduler(jobstores={"default": MemoryJobStore()}, timezone="UTC", clock=clock)
    yield made
    made.close()


def resolved(line, key, **options):
    return CronTrigger.from_crontab(line, "UTC", hash_key=key, **options).resolved


@pytest.mark.parametrize(
    ("line", "key", "plain"),
    [
        ("H H * * *", "nightly-cleanup", "50 16 * * *"),
        ("H H * * *", "backup", "26 23 * * *"),
        ("H H * * *", "poll-1", "27 7 * * *"),
        ("H/15 * * * *", "backup", "11-59/15 * * * *"),
        ("H(0-29) 3 * * mon", "backup", "26 3 * * mon"),
        ("H(0-29)/10 * * * *", "backup", "6-29/10 * * * *"),
        ("H/60 * * * *", "backup", "26 * * * *"),
        ("0,H 3 * * *", "backup", "0,26 3 * * *"),
        ("h H(9-17)/4,20 * * ?", "backup", "26 12-17/4,20 * * *"),
    ],
)
def test_a_line_stands_for_plain_values(line, key, plain):
    assert resolved(line, key) == plain
    trigger = CronTrigger.from_crontab(line, "UTC", hash_key=key)
    same = CronTrigger.from_crontab(plain, "UTC")
    assert wall_times(trigger, "2027-01-01", 50) == wall_times(same, "2027-01-01", 50)


SPANS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "day_of_week": (0, 6), "second": (0, 59)}


@settings(max_examples=150)
@given(data=st.data(), key=st.text(min_size=1, max_size=40), field=st.sampled_from([*SPANS, "week"]))
def test_fields_and_lines_choose_what_crc32_says(data, key, field):
    low, high = {**SPANS, "week": (1, 52)}[field]
    text, (first, last) = "H", (low, high)
    if data.draw(st.booleans()):
        first, last = sorted(data.draw(st.tuples(st.integers(low, high), st.integers(low, high))))
        text = f"H({first}-{last})"
    code = crc32(f"{key}:{field}".encode())
    expected = {first + code % (last - first + 1)}
    if last > first and data.draw(st.booleans()):
        step = data.draw(st.integers(2, last - first + 1))
        text, expected = f"{text}/{step}", set(range(first + code % step, last + 1, step))
    of_field = CronTrigger(**{field: text}, hash_key=key, timezone="UTC").resolved
    assert _values(of_field.removeprefix(f"{field} ")) == expected
    if field == "week":
        return
    place = ["second", "minute", "hour", "day", "month", "day_of_week"].index(field)
    line = " ".join(text if each == place else "*" for each in range(6))
    assert _values(resolved(line, key, seconds=True).split()[place]) == expected


def _values(text):
    span, _, step = text.partition("/")
    first, _, last = span.partition("-")
    return set(range(int(first), int(last or first) + 1, int(step or 1)))


def test_many_ids_are_spread_over_the_hour():
    minutes = Counter(resolved("H * * * *", f"poll-{number}").split()[0] for number in range(6000))
    assert len(minutes) == 60
    assert max(minutes.values()) <= 1.4 * 100


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("H(40-20) * * * *", r"minute 'H\(40-20\)': the range 40-20 is reversed"),
        ("H(0-60) * * * *", "60 is not from 0 to 59"),
        ("H/0 * * * *", "the step must be at least 2"),
        ("H/1 * * * *", r"'H/1': the step must be at least 2; for every value write '\*'"),
        ("H/61 * * * *", "the step 61 is larger than the range 0-59"),
        ("H(0-9)/11 * * * *", "the step 11 is larger than the range 0-9"),
        ("0 0 HL * *", "'H' stands alone or as"),
        ("0 0 HW * *", "'H' stands alone or as"),
        ("0 0 * * H#2", "'H' stands alone or as"),
        ("0 0 * * HL", "'H' stands alone or as|'L' takes a weekday"),
        ("H-3 * * * *", "'H' stands alone or as"),
        ("0 0 * H(jan-foo) *", "'foo' is not understood"),
    ],
)
def test_a_wrong_h_is_refused_before_a_job_is_known(line, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        CronTrigger.from_crontab(line, "UTC")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"year": "H"}, "year 'H': 'H' cannot choose a year"),
        ({"hour": 3, "hash_key": "a"}, "hash_key 'a': no field has an H; leave the key out"),
        ({"hour": "H", "hash_key": ""}, "hash_key '': expected a text that is not empty"),
        ({"hour": "H", "hash_key": 5}, "hash_key 5: expected a text"),
        ({"hour": "H", "hash_key": "a" * 1001}, "job's id: expected at most 1000 characters, got 1001"),
        ({"hour": "H", "hash_key": "\ud800"}, "expected Unicode text"),
        ({"crontab": "0 3 * * *", "hash_key": "a"}, "no field has an H"),
        ({"crontab": "@daily", "hash_key": "a"}, "no field has an H"),
        ({"crontab": "@reboot", "hash_key": "a"}, "takes no seconds, start_date, end_date or hash_key"),
    ],
)
def test_arguments_that_h_does_not_allow_are_refused(arguments, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        trigger_from_fields({"type": "cron", **arguments})


def test_a_trigger_without_a_job_or_key_has_no_times_and_says_why():
    for trigger in (CronTrigger(hour="H", timezone="UTC"), CronTrigger.from_crontab("H * * * *", "UTC")):
        assert trigger.resolved is None
        with pytest.raises(InvalidTriggerError, match=r"H gets its value when a job .* is added; .* hash_key="):
            trigger.next_ms(0)
        assert trigger_from_fields(trigger_fields(trigger)) == trigger


@pytest.mark.parametrize(
    "trigger", [{"trigger": "H H * * *"}, {"trigger": "cron", "hour": "H", "minute": "H"},
                {"trigger": {"type": "cron", "crontab": "H H * * *"}},
                {"trigger": CronTrigger.from_crontab("H H * * *", "UTC")}],
)  # fmt: skip
def test_a_job_gets_its_values_from_its_id_when_it_is_added(scheduler, trigger):
    job = scheduler.add_job(poll, id="backup", **trigger)
    assert job.next_run_time == datetime(2027, 1, 1, 23, 26, tzinfo=UTC)
    assert "26" in str(job.trigger) and "23" in str(job.trigger)


def test_jobs_that_are_added_together_with_one_text_differ(scheduler):
    ids = ("backup", "poll-1", "nightly-cleanup")
    scheduler.add_jobs([{"func": poll, "trigger": "H H * * *", "id": each} for each in ids])
    times = [scheduler.get_job(each).next_run_time for each in ids]
    assert [(time.hour, time.minute) for time in times] == [(23, 26), (7, 27), (16, 50)]


def test_an_id_that_is_too_long_for_a_key_is_refused_at_the_call(scheduler):
    with pytest.raises(InvalidTriggerError, match="expected at most 1000 characters"):
        scheduler.add_job(poll, "H H * * *", id="a" * 1001)
    assert scheduler.add_job(poll, "H H * * *", id="a" * 1001, hash_key="a").trigger.hash_key == "a"


def test_a_key_makes_jobs_alike(scheduler):
    jobs = [scheduler.add_job(poll, "H H * * *", id=each, hash_key="backup") for each in "ab"]
    assert [job.next_run_time.minute for job in jobs] == [26, 26]


def test_a_changed_trigger_is_resolved_for_its_job(scheduler):
    job = scheduler.add_job(poll, "interval", hours=1, id="backup")
    job.reschedule(trigger="H * * * *")
    assert job.trigger.resolved == "26 * * * *"
    job.modify(trigger="cron", minute="H/15")
    assert job.trigger.resolved == "minute 11-59/15"
    either = OrTrigger([CronTrigger.from_crontab("H H * * *", "UTC"), IntervalTrigger(hours=5)])
    job.modify(trigger=either)
    assert job.trigger.triggers[0].resolved == "26 23 * * *"


def test_a_trigger_shows_what_was_written_and_its_values():
    line = CronTrigger.from_crontab("h  H * * ?", "UTC").for_job("backup")
    assert str(line) == "cron[crontab='H H * * *', resolved='26 23 * * *']"
    assert repr(line) == "<CronTrigger (crontab='H H * * *', hash_key='backup', timezone='UTC')>"
    fields = CronTrigger(day_of_week="mon-fri", hour="h", minute="H(0-29)", timezone="UTC").for_job("backup")
    assert str(fields) == (
        "cron[day_of_week='mon-fri', hour='H', minute='H(0-29)', resolved='hour 23, minute 26']"
    )
    assert [(each.name, each.text) for each in fields.fields if not each.is_default] == [
        ("day_of_week", "mon-fri"), ("hour", "H"), ("minute", "H(0-29)"),
    ]  # fmt: skip


def test_a_resolved_trigger_keeps_its_values_for_other_jobs_and_in_storage():
    trigger = CronTrigger.from_crontab("H H * * *", "UTC").for_job("backup")
    assert trigger.for_job("other") is trigger
    fields = trigger_fields(trigger)
    assert fields == {"type": "cron", "crontab": "H H * * *", "hash_key": "backup", "timezone": "UTC"}
    assert trigger_from_fields(fields) == trigger
    plain = CronTrigger(hour=3)
    assert plain.for_job("backup") is plain


def test_a_document_without_the_key_is_read_with_the_jobs_id():
    allowed = AllowedFunctions([__name__])
    clock = ManualClock(datetime(2027, 1, 1, tzinfo=UTC))
    scheduler = GeventScheduler(timezone="UTC", clock=clock)
    written = job_document(scheduler.add_job(poll, "H H * * *", id="backup").definition)
    assert written["trigger"]["hash_key"] == "backup"
    written["trigger"] = {"type": "cron", "crontab": "H H * * *", "timezone": "UTC"}
    read = DocumentReader(allowed, "default").read(written)
    assert (read.parked, read.trigger.resolved) == (None, "26 23 * * *")
    scheduler.close()


def test_clock_changes_treat_h_as_the_values_it_stands_for():
    trigger = CronTrigger.from_crontab("H 2 * * *", "Europe/Berlin", hash_key="backup")
    forward = wall_times(trigger, "2027-03-27 12:00", 2)
    assert forward == ["2027-03-28 03:00:00 +0200", "2027-03-29 02:26:00 +0200"]
    back = wall_times(trigger, "2027-10-30 12:00", 2)
    assert back == ["2027-10-31 02:26:00 +0200", "2027-11-01 02:26:00 +0100"]
    often = CronTrigger.from_crontab("H/30 * * * *", "Europe/Berlin", hash_key="backup")
    assert len(wall_times(often, "2027-10-31 00:00", 50)) == 50
    assert [time[11:16] for time in wall_times(often, "2027-10-31 02:00", 4)] == ["02:26", "02:56", "02:26", "02:56"]
