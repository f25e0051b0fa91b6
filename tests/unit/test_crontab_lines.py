"""Crontabs as text: what is understood, what is refused and why; cron expressions in words."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from gsched.runner.crontab.jobs import CrontabLine, crontab_definitions, readable
from gsched.runner.crontab.lines import Crontab, CrontabEntry, read_crontab
from gsched.runner.crontab.notes import surprises
from gsched.runner.crontab.words import in_words
from gsched.times.instants import to_ms
from gsched.triggers import CronTrigger
from gsched.triggers.reboot import RebootTrigger

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def entries(text: str, **options: object) -> list[CrontabEntry]:
    """What a crontab without errors has."""
    crontab = read_crontab(text, timezone="UTC", **options)
    assert crontab.errors == []
    return crontab.entries


def entry(text: str, **options: object) -> CrontabEntry:
    (found,) = entries(text, **options)
    return found


def reasons(text: str, **options: object) -> dict[int, str]:
    """The reason for each line that is refused."""
    return {error.line: error.reason for error in read_crontab(text, timezone="UTC", **options).errors}


def warnings(text: str) -> dict[int, str]:
    return {warning.line: warning.reason for warning in read_crontab(text, timezone="UTC").warnings}


# -- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_has_a_schedule_and_a_command():
    found = entry("*/5 * * * * /usr/bin/backup --all")
    assert (found.schedule, found.command, found.line) == ("*/5 * * * *", "/usr/bin/backup --all", 1)
    assert found.trigger == CronTrigger.from_crontab("*/5 * * * *", "UTC")


@pytest.mark.parametrize(
    "text",
    [
        "0 3 * * * x",
        "  0 3 * * * x",
        "0\t3\t*\t*\t*\tx",
        "0  3 *  * *   x",
        "0 3 * * * x\r",
        "\n\n# a comment\n   # another\n0 3 * * * x\n\n",
    ],
)
def test_blanks_comments_and_line_ends_do_not_matter(text):
    assert (entry(text).schedule, entry(text).command) == ("0 3 * * *", "x")


def test_a_comment_after_a_command_belongs_to_the_command():
    assert entry("@daily x # not a comment").command == "x # not a comment"


@pytest.mark.parametrize("nickname", ["hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually"])
def test_nicknames_are_understood(nickname):
    assert entry(f"@{nickname} x").trigger == CronTrigger.from_crontab(f"@{nickname}", "UTC")


def test_reboot_is_a_trigger_of_its_own():
    assert isinstance(entry("@reboot x").trigger, RebootTrigger)
    assert entry("@reboot x").is_reboot


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("mail", "mail", None),
        ("mail%one", "mail", "one\n"),
        ("mail%one%two", "mail", "one\ntwo\n"),
        ("mail%one%", "mail", "one\n"),
        ("mail%", "mail", "\n"),
        (r"date +\%F", "date +%F", None),
        (r"date +\%F%in\%put", "date +%F", "in%put\n"),
        (r"echo a\\%b", r"echo a\\", "b\n"),
        (r"echo \n", r"echo \n", None),
        ("a % b", "a", " b\n"),
    ],
)
def test_a_percent_sign_begins_standard_input(text, command, stdin):
    found = entry(f"* * * * * {text}")
    assert (found.command, found.stdin) == (command, stdin)


def test_a_system_crontab_names_the_user():
    found = entry("17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly", system=True)
    assert (found.user, found.command) == ("root", "cd / && run-parts --report /etc/cron.hourly")
    assert entry("@daily www-data x", system=True).user == "www-data"


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("PATH=/bin:/usr/bin", "PATH", "/bin:/usr/bin"),
        ("A = b c  ", "A", "b c"),
        ('A="  b "', "A", "  b "),
        ("A = ' b'", "A", " b"),
        ("A=", "A", ""),
        ("'A'=b", "A", "b"),
        ("A=b=c", "A", "b=c"),
        ("TZ=Europe/Paris", "TZ", "Europe/Paris"),
        ("HOME=/srv", "HOME", "/srv"),
    ],
)
def test_settings_are_the_commands_environment(line, name, value):
    assert entry(f"{line}\n* * * * * x").env == {name: value}


@pytest.mark.parametrize("name", ["FOO.BAR", "1A", "A-B"])
def test_a_settings_name_is_what_cron_takes_for_one(name):
    assert entry(f"{name}=x\n@daily y").env == {name: "x"}


def test_settings_count_for_the_lines_below_them():
    first, second, third = entries("@daily a\nX=1\n@daily b\nX=2\nSHELL=/bin/bash\n@daily c")
    assert (first.env, second.env, third.env) == ({}, {"X": "1"}, {"X": "2"})
    assert (first.shell, second.shell, third.shell) == ("/bin/sh", "/bin/sh", "/bin/bash")


def test_cron_tz_is_the_zone_of_the_schedules_below_it_and_tz_is_not():
    first, second, third = entries("@daily a\nCRON_TZ=Asia/Tokyo\n@daily b\nTZ=Europe/Paris\n@daily c")
    assert [str(each.trigger.timezone) for each in (first, second, third)] == ["UTC", "Asia/Tokyo", "Asia/Tokyo"]
    assert third.env == {"TZ": "Europe/Paris"}


def test_a_line_with_an_equals_sign_in_its_command_is_no_setting():
    assert entry("* * * * * A=b x").command == "A=b x"
    assert entry("@daily A=b x").command == "A=b x"


@pytest.mark.parametrize("name", ["MAILFROM", "CONTENT_TYPE", "LOGNAME", "RANDOM_DELAY"])
def test_an_unsupported_line_is_named_and_left_out(name):
    text = f"# comment\n{name}=a\n@daily x"
    assert warnings(text)[2].startswith(f"{name}: ")
    assert entry(text).env == {}


def test_mailto_counts_for_the_lines_below_it_and_no_address_comes_from_anything_else(monkeypatch):
    monkeypatch.setattr("gsched.notices.channels.mail.SENDMAIL", "/bin/sh")
    text = """
        @daily a
        MAILTO=root, ops@example.com
        @daily b
        MAILTO=""
        @daily c
        MAILTO="-oQ/tmp"
        @daily d
        """
    crontab = read_crontab(text)
    assert [entry.mail_to for entry in crontab.entries] == [(), ("root", "ops@example.com"), (), ()]
    ((line, _, why),) = crontab.warnings
    assert (line, why[:55]) == (7, "MAILTO: no mail is sent: expected an address such as op")
    monkeypatch.setattr("gsched.notices.channels.mail.SENDMAIL", "/nowhere")
    assert warnings("MAILTO=me\n@daily x") == {1: "MAILTO: no mail is sent: this machine has no /nowhere"}


def test_wanting_no_mail_is_no_surprise():
    assert warnings('MAILTO=""\nMAILTO=\n@daily x') == {}


def test_variables_in_values_stay_as_they_are_and_that_is_said():
    assert "stands for itself" in warnings("PATH=$HOME/bin:$PATH\n@daily x")[1]
    assert entry("PATH=$HOME/bin\n@daily x").env == {"PATH": "$HOME/bin"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("17 * * * * root cd /", [1]),
        ("17 *\t* * *\troot\tcd / && run-parts x", [1]),  # Debian's /etc/crontab
        ("@daily root a\n@daily b", [1]),
        ("@daily daemon a\n# x\n@daily daemon b", [1, 3]),
        ("@daily daemon a\n@daily b", []),  # not in all lines
        ("@daily sh -c a\n@daily sh -c b", []),  # a program
        ("@daily no-such-user a", []),
    ],
)
def test_a_system_crontab_read_as_a_users_is_suspected(text, lines):
    said = warnings(text)
    assert [line for line, reason in said.items() if "a system crontab is read with --system" in reason] == lines


def test_a_system_crontab_read_as_one_is_not_suspected():
    assert read_crontab("@daily daemon a", system=True, timezone="UTC").warnings == []


@pytest.mark.parametrize(
    ("command", "is_doubtful"),
    [
        ('echo "at %H:%M"', True),
        ("echo 'at %H:%M'", True),
        ("echo $(date +%F)", True),
        ("echo `date +%F`", True),
        ("date +%F", True),
        ('sh -c "echo $(date +%F)"', True),
        ("echo 'it is' 100% sure", False),
        ("cat x%Hello%", False),
        (r'echo "at \%H"', False),
        (r"echo it\'s %x", False),
        ("echo $(hostname) %x", False),
        ("""echo "it's" %x""", False),
    ],
)
def test_a_percent_sign_that_cuts_a_command_inside_quotes_is_doubted(command, is_doubtful):
    assert [r"write \%" in reason for reason in warnings(f"@daily {command}").values()] == [True] * is_doubtful


def test_a_command_that_begins_like_one_more_field_is_doubted():
    assert "begins with '1', as if it were one more time field" in warnings("0 0 9 * * 1 backup")[1]
    assert "begins with 'mon-fri'" in warnings("0 0 9 * * mon-fri backup")[1]
    assert warnings("0 0 9 * * 7zip") == {}


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("60 * * * * x", "minute '60': 60 is not from 0 to 59"),
        ("* 24 * * * x", "hour '24': 24 is not from 0 to 23"),
        ("* * 0 * * x", "day of month '0': 0 is not from 1 to 31"),
        ("* * * 13 * x", "month '13': 13 is not from 1 to 12"),
        ("* * * * 8 x", "day of week '8': 8 is not from 0 to 7"),
        ("*/0 * * * * x", "minute '*/0': the step must be at least 1"),
        ("5/15 * * * * x", "minute '5/15': a step needs a range: write 5-59/15"),
        ("0 0 12 * * ? x", "6 time fields, expected 5"),
        ("0 0 9 ? * MON-FRI x", "month '?': '?' stands alone, in a field for days"),
        ("* L * * * x", "hour 'L': 'L' stands in the fields for days only"),
        ("* * * foo * x", "month 'foo': 'foo' is not understood"),
        ("1,,2 * * * * x", "minute '1,,2': an expression is empty"),
        ("* * * *", "expected minute, hour, day of month, month, day of week and a command"),
        ("hello", "expected minute, hour, day of month, month, day of week and a command"),
        ("* * * * *", "there is no command"),
        ("@daily", "there is no command"),
        ("@fortnightly x", "crontab '@fortnightly': not one of @hourly, "),
        ("0 0 31 6 * x", "never due: there is no such day"),
        ("@daily x\0y", "it has a NUL character"),
        ('A="b', "the quote that begins its value, \", is not closed"),
        ('PATH="/usr/bin:/bin"  # comment', "there is more behind the quotes of its value"),
        ("A='b' c", "there is more behind the quotes of its value"),
        ("0 0 * * * * * bash -c x", "7 time fields, expected 5 (minute, hour"),
        ("*/10 * * * * * x", "6 time fields, expected 5"),
        ("0 30 9 * * * x", "6 time fields, expected 5"),
        ("0 0 0 1 1 * 2030 x", "7 time fields, expected 5"),
        ("-*/15 * * * * x", "a leading '-' (SUSE's cron: do not log)"),
        ("1\t5\tcron.daily\trun-parts /etc/cron.daily", "an anacrontab's line"),
        ("@monthly 45 cron.monthly run-parts /etc/cron.monthly", "an anacrontab's line"),
        ("''=b", "'' cannot be a variable's name"),
        ("'a=b'=c", "'a=b' cannot be a variable's name"),
        ("CRON_TZ=Mars/Olympus", "timezone: 'Mars/Olympus' is not in the time zone database"),
    ],
)
def test_a_wrong_line_is_refused_with_the_reason(line, reason):
    assert reasons(line)[1].startswith(reason)


def test_all_wrong_lines_are_told_and_the_others_understood():
    crontab = read_crontab("61 * * * * a\n@daily b\n* * * *\n* 25 * * * c")
    assert [error.line for error in crontab.errors] == [1, 3, 4]
    assert [each.command for each in crontab.entries] == ["b"]
    assert str(crontab.errors[0]) == "line 1: '61 * * * * a': minute '61': 61 is not from 0 to 59"


def test_nothing_below_an_unknown_zone_is_taken_for_another_zone():
    assert list(reasons("@daily a\nCRON_TZ=Mars/X\n@daily b\nCRON_TZ=UTC\n@daily c")) == [2, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("* * * * * /usr/bin/x y", "'/usr/bin/x' is not a user's name"),
        ("* * * * * root", "there is no command"),
        ("* * * * *", "there is no command"),
    ],
)
def test_system_crontabs_without_a_user_are_refused(line, reason):
    assert reasons(line, system=True)[1].startswith(reason)


@given(st.text())
@example("%\n@daily %")
@example('"=')
def test_any_text_is_read_without_a_crash_and_every_line_is_accounted_for(text):
    for system in (False, True):
        crontab = read_crontab(text, system=system, timezone="UTC")
        assert isinstance(crontab, Crontab)
        told = {each.line for part in (crontab.entries, crontab.errors) for each in part}
        assert told <= set(range(1, text.count("\n") + 2))


@given(st.text(alphabet=st.characters(blacklist_characters="%\\\n\r\0", blacklist_categories=["Cs"]), min_size=1))
def test_commands_without_percent_signs_are_taken_as_they_are(command):
    command = command.strip()
    if command and not command.startswith(("*", "?")):  # as a field of time may begin, and no command does
        assert entry(f"* * * * * {command}").command == command.strip(" \t")


# -- ids --------------------------------------------------------------------------------------------------------------


def ids(text: str, prefix: str = "") -> dict[str, str]:
    """Which id each command has."""
    found = crontab_definitions(entries(text), "file", prefix)
    return {job_id: f"{each['trigger']} {each['name']}" for job_id, each in found}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --full", "backup.sh-full"),
        ("cd /srv/app && ./manage.py cleanup >/dev/null 2>&1", "cd-app-manage.py-cleanup"),
        ("cd / && run-parts --report /etc/cron.hourly", "cd-run-parts-report-cron.hourly"),
        ("🎉", "command"),
        ("x" * 200, "x" * 60),
        ("word " * 30, "-".join(["word"] * 12)),
    ],
)
def test_ids_are_readable(command, name):
    assert readable(command) == name


def test_equal_commands_are_numbered():
    assert list(ids("0 1 * * * x\n0 2 * * * x\n0 3 * * * y", "f/")) == ["f/x", "f/x-2", "f/y"]


def test_a_numbered_id_does_not_meet_that_of_another_command():
    assert sorted(ids("0 1 * * * x\n0 2 * * * x\n0 3 * * * x 2")) == ["x", "x-2", "x-3"]


def test_commands_that_differ_by_their_directories_or_output_have_them_in_their_ids():
    commands = ("/opt/a/run.sh", "/opt/b/run.sh", "cat in > /tmp/x", "cat in > /tmp/y", "/opt/c/z")
    told = sorted(ids("\n".join(f"0 1 * * * {command}" for command in commands)))
    assert told == ["cat-in-tmp-x", "cat-in-tmp-y", "opt-a-run.sh", "opt-b-run.sh", "z"]


def known(text: str) -> dict[str, CrontabLine]:
    """What is known of lines that have been imported."""
    found = crontab_definitions(entries(text), "file")
    return {job_id: CrontabLine(each["args"][0], each["kwargs"].get("user"), each["trigger"]) for job_id, each in found}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0 2 * * * x", "0 1 * * * x\n0 2 * * * x"),
        ("0 1 * * * /opt/a/run.sh", "0 1 * * * /opt/b/run.sh\n0 1 * * * /opt/a/run.sh"),
        ("0 1 * * * x\n0 2 * * * x", "0 2 * * * x"),
        ("0 1 * * * x\n0 2 * * * x\n0 3 * * * y", "0 3 * * * y\n0 2 * * * x\n0 1 * * * x"),
    ],
)
def test_a_line_that_stays_keeps_its_id_whatever_comes_and_goes_around_it(before, after):
    def by_line(found):
        return {f"{each['trigger']} {each['name']}": job_id for job_id, each in found}

    was = by_line(crontab_definitions(entries(before), "file"))
    now = by_line(crontab_definitions(entries(after), "file", known=known(before)))
    stayed = was.keys() & now.keys()
    assert stayed and {line: now[line] for line in stayed} == {line: was[line] for line in stayed}
    assert len(set(now.values())) == len(now)


def test_a_line_whose_schedule_changes_keeps_its_id_beside_a_new_one():
    found = crontab_definitions(entries("0 1 * * * x\n0 5 * * * x"), "file", known=known("0 4 * * * x\n0 1 * * * x"))
    assert {job_id: str(each["trigger"]) for job_id, each in found} == {
        "x": "cron[crontab='0 1 * * *']", "x-2": "cron[crontab='0 5 * * *']",
    }  # fmt: skip


lines = st.lists(
    st.sampled_from(["0 1 * * * x", "0 2 * * * x", "0 1 * * * x -y", "@daily x 2", "@daily y", "0 1 * * * x%in"]),
)


@given(lines, st.randoms())
def test_ids_do_not_depend_on_the_order_of_lines(lines, random):
    shuffled = random.sample(lines, len(lines))
    assert ids("\n".join(lines)) == ids("\n".join(shuffled))
    assert len(ids("\n".join(lines))) == len(lines)


# -- in words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5th minute"),
        ("0 3 * * *", "at 03:00"),
        ("0,30 8,20 * * *", "at 08:00, 08:30, 20:00 and 20:30"),
        ("0 * * * *", "at minute 0 of every hour"),
        ("0 */2 * * *", "at minute 0 of every 2nd hour"),
        ("*/15 9-17 * * mon-fri", "every 15th minute of hour 9 through 17, on Monday through Friday"),
        ("0 0 1 * *", "at 00:00, on day 1 of the month"),
        ("0 0 13 * 5", "at 00:00, on day 13 of the month and also on Friday"),
        ("0 0 */2 * 1", "at 00:00, on every 2nd day of the month if that is also on Monday"),
        ("0 0 * * 7", "at 00:00, on Sunday"),
        ("0 0 1 jan,7 *", "at 00:00, on day 1 of the month, in January and July"),
        ("15 10 * * * *", "at second 15 of minute 10 of every hour"),
        ("@weekly", "at 00:00, on Sunday"),
        ("@REBOOT", "once after each start of the machine"),
        ("0 9 L * ?", "at 09:00, on the last day of the month"),
        ("0 9 LW * *", "at 09:00, on the last weekday (Monday to Friday) of the month"),
        ("0 9 15W * *", "at 09:00, on the weekday (Monday to Friday) nearest to day 15 of the month"),
        ("0 9 L-3 * *", "at 09:00, on the 3rd day before the last one of the month"),
        ("0 9 1,15,L * *", "at 09:00, on day 1 and 15 of the month and the last day of the month"),
        ("0 9 * * 5L", "at 09:00, on the last Friday of the month"),
        ("0 9 ? jul fri#2", "at 09:00, on the 2nd Friday of the month, in July"),
        ("0 9 13 * 5#2", "at 09:00, on day 13 of the month and also on the 2nd Friday of the month"),
        ("H 3 * * *", "at minute H of hour 3, where H is a value that the job's id chooses"),
        ("H/15 * * * *", "every 15th minute from H of every hour, where H is a value that the job's id chooses"),
        ("0 H(1-5) H * H", "at minute 0 of hour H in 1 through 5, on day H of the month and also on weekday H, "
                           "where H is a value that the job's id chooses"),
    ],
)  # fmt: skip
def test_expressions_in_words(expression, words):
    assert in_words(expression) == words


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    part = st.one_of(
        st.just("*"),
        number,
        st.tuples(number, number).map("-".join),
        st.integers(1, 99).map("*/{}".format),
        st.tuples(number, number, st.integers(1, 9)).map(lambda each: "{}-{}/{}".format(*each)),
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


signs = ["L", "LW", "15W", "L-3", "L-3W", "1,L", "H", "H/9", "H(1-9)/3", "?"]
weekday_signs = ["5L", "friL", "5#2,monL", "thu#5", "H", "H(1-5)", "?"]
specials = st.tuples(
    st.sampled_from(["0", "H", "H/15", "H(0-29)/10", "*/7"]),
    st.sampled_from(["3", "H", "*", "H(1-5)"]),
    st.sampled_from(signs),
    st.sampled_from(["*", "H", "jul", "H(3-9)/2"]),
    st.sampled_from(weekday_signs),
).map(" ".join)
expressions = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map(" ".join)


@given(st.one_of(expressions, specials))
def test_every_valid_expression_can_be_explained(expression):
    trigger = CronTrigger.from_crontab(expression, "Europe/Berlin")
    assert in_words(expression)
    list(surprises(expression, trigger, NOW))
    list(surprises(expression, trigger.for_job("backup"), NOW))


def notes(expression: str, zone: str = "UTC") -> str:
    return "; ".join(surprises(expression, CronTrigger.from_crontab(expression, zone), NOW))


@pytest.mark.parametrize(
    ("expression", "note"),
    [
        ("*/7 * * * *", "from 56 to 0 it is only 4"),
        ("0 */5 * * *", "from 20 to 0 it is only 4"),
        ("*/90 * * * *", "is minute 0 only"),
        ("0 0 */2 * *", "starts anew on day 1 of each month"),
        ("0 0 13 * 5", "either of the two day fields is enough"),
        ("0 0 */2 * 5", "must fit both day fields"),
        ("0 0 * * 7", "7 is Sunday"),
        ("0 0 * * 5-7", "7 is Sunday"),
        ("* 3 * * *", "every minute of these hours"),
        ("0 22-2 * * *", "as in Debian's cron; others refuse it"),
        ("0 0 31 * *", "months that have no day 31 are left out"),
        ("@reboot", "first runner"),
        ("0 0 31W * *", "months that have no day 31 are left out"),
        ("0 0 LW * *", "LW stays in its month; holidays are not known"),
        ("0 0 * * 5#5", "months that have only four are left out"),
        ("0 0 * * fri#2", "Debian's cron reads fri#2 as fri, every such weekday"),
        ("H 3 ? * *", "Debian's cron refuses H; Debian's cron refuses ?"),
    ],
)
def test_a_schedule_that_may_surprise_is_noted(expression, note):
    assert note in notes(expression)


PLAIN = ["* * * * *", "*/5 * * * *", "0 3 * * *", "@daily", "0 0 * * mon-fri", "0 * * * *"]


@pytest.mark.parametrize("expression", PLAIN)
def test_plain_expressions_surprise_nobody(expression):
    assert notes(expression, "Europe/Berlin") == ""


def test_the_effect_of_a_clock_change_on_a_line_is_noted():
    said = notes("30 2 * * *", "Europe/Berlin")
    assert "02:00 to 03:00 does not exist on 2026-03-29 in Europe/Berlin: what is due then runs at 03:00" in said
    assert "02:00 to 03:00 comes twice on 2026-10-25 in Europe/Berlin: it runs the first time only" in said
    assert "both times" in notes("*/30 2 * * *", "Europe/Berlin")
    assert notes("30 3 * * *", "Europe/Berlin") == ""


def test_the_note_on_a_clock_change_agrees_with_the_trigger():
    from datetime import datetime

    trigger = CronTrigger.from_crontab("30 2 * * *", "Europe/Berlin")
    before = to_ms(datetime.fromisoformat("2026-03-28T12:00:00+01:00"))
    assert trigger.next_ms(before) == to_ms(datetime.fromisoformat("2026-03-29T03:00:00+02:00"))
