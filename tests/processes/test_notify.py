"""[notify] sections, `gsched notify`, and messages of a real runner."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from command_line import gsched, in_process
from hooks import HookServer
from runner_rig import running, write
from waiting import wait_until

from gsched import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, ConfigurationError, GeventScheduler
from gsched.config import read_configuration
from gsched.notices import Mail, Notifier, WebHook
from gsched.runner.crontab.sync import crontab_jobs, load_crontab, write_crontab
from gsched.runner.declared_notifiers import read_notifiers

KEY = "a-very-secret-key"


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    yield server
    server.close()


def declared(path: Path, text: str) -> dict[str, Notifier]:
    return read_notifiers(read_configuration(write(path / "gsched.toml", text)))


def test_a_runner_reports_a_job_that_fails_and_shows_no_secret(tmp_path, hook):
    (tmp_path / "key").write_text(f"{KEY}\n")
    write(tmp_path / "gsched.toml", f"""
        [web]
        public_url = "https://jobs.test"
        [notify.ops]
        type = "webhook"
        url_env = "HOOK_URL"
        secret_file = "{tmp_path}/key"
        all_jobs = false
        [[job]]
        id = "told"
        command = "echo no space left >&2; exit ${{HOOK_URL:+9}}3"
        trigger = {{type = "interval", seconds = 1}}
        notify = ["ops"]
        [[job]]
        id = "untold"
        command = "false"
        trigger = {{type = "interval", seconds = 1}}
        """)  # fmt: skip
    arguments = "-c", "gsched.toml"
    with running(tmp_path, *arguments, HOOK_URL=hook.url) as runner:
        wait_until(lambda: hook.requests, runner.text)
        assert runner.end() == 0
        log = runner.text()
    message = hook.messages()[0]
    assert {notice["job_id"] for message in hook.messages() for notice in message["notices"]} == {"told"}
    assert "exit status 3: no space left" in message["subject"]  # the command has not got the variable
    assert message["url"].startswith("https://jobs.test/run?id=told%40") and "no space left" in message["text"]
    place = *arguments, "--data", f"{tmp_path}/state"
    listed = in_process("notify", "list", *place, "-o", "json", directory=tmp_path)
    (status,) = json.loads(listed.out)
    assert status["name"] == "ops" and status["sent_at"] and status["error"] is None
    doctor = in_process("doctor", *place, directory=tmp_path)
    assert "notifiers\tok\t1 send messages" in doctor.out
    tested = in_process("notify", "test", "ops", *arguments, directory=tmp_path, HOOK_URL=hook.url)
    assert (tested.code, hook.messages()[-1]["event"]) == (0, "test")
    with sqlite3.connect(tmp_path / "state" / "jobs.sqlite") as stored:
        kept = "\n".join(stored.iterdump())
    for shown in (log, listed.out, doctor.out, tested.err, kept):
        assert KEY not in shown and "secret-path" not in shown


def test_a_refused_test_message_exits_with_1_and_an_unknown_name_with_5(tmp_path, hook):
    write(tmp_path / "gsched.toml", f'[notify.ops]\ntype = "webhook"\nurl = "{hook.url}"\n')
    hook.status = 410
    refused = in_process("notify", "test", "ops", "-c", "gsched.toml", directory=tmp_path)
    assert refused.code == 1 and "notifier 'ops' (127.0.0.1): 127.0.0.1 answered 410" in refused.err
    unknown = in_process("notify", "test", "op", "-c", "gsched.toml", directory=tmp_path)
    assert unknown.code == 5 and "did you mean 'ops'?" in unknown.err


def test_sections_become_notifiers_with_secrets_from_files_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("SMTP_PASSWORD", KEY)
    (tmp_path / "url").write_text("https://hooks.test/x\n")
    found = declared(tmp_path, f"""
        [notify.chat]
        type = "webhook"
        url_file = "{tmp_path}/url"
        template = "slack"
        events = ["failed"]
        tags = ["prod"]
        every = "1h"
        [notify.mail]
        type = "mail"
        host = "smtp.test"
        to = ["ops@example.com"]
        sender = "gsched@example.com"
        username = "gsched"
        password_env = "SMTP_PASSWORD"
        """)  # fmt: skip
    chat, mail = found["chat"], found["mail"]
    assert isinstance(chat.channel, WebHook) and isinstance(mail.channel, Mail)
    assert (chat.events, chat.all_jobs, chat.every_ms) == ({"failed"}, False, 3_600_000)
    assert (mail.all_jobs, mail.channel.secrets[0]) == (True, KEY)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("type = 'webhok'", "type: 'webhok' is unknown; did you mean 'webhook'?"),
        ("url = 'https://x.test'", "type: None is unknown; there are mail, sendmail, webhook, command, sentry, ping"),
        ("type = 'webhook'", "the key 'url' is missing"),
        ("type = 'webhook'\nurl_env = 'NOBODY'", "url_env: the environment has no variable 'NOBODY'"),
        ("type = 'webhook'\nurl_file = '/nowhere'", "url_file: /nowhere: No such file or directory"),
        ("type = 'webhook'\nurl = 'https://x.test'\nurl_env = 'HOME'", "url_env: another key gives url already"),
        ("type = 'webhook'\nurl = 'https://x.test'\nsecret = 'k'", "secret: the file may not hold secrets"),
        ("type = 'webhook'\nurl = 'https://x.test'\nevent = ['failed']", "the key 'event' is unknown; did you mean"),
        ("type = 'webhook'\nurl = 'ftp://u:SECRET@x'", "url: expected a URL that begins with https://"),
        ("type = 'mail'\nhost = 'h'\nto = ['a']\nsender = 'b@c.test'", "to: expected an address such as"),
        ("type = 'ping'\nurl = 'https://x.test'\nclock = 1", "the key 'clock' is unknown"),
    ],
)
def test_a_mistake_in_a_section_is_one_line_with_its_name_and_key(tmp_path, section, said):
    with pytest.raises(ConfigurationError) as raised:
        declared(tmp_path, f"[notify.ops]\n{section}\n")
    shown = str(raised.value)
    assert shown.startswith(f"{tmp_path}/gsched.toml: notify.ops: {said}") and "SECRET" not in shown


def test_a_job_that_names_an_unknown_notifier_is_refused(tmp_path):
    write(tmp_path / "gsched.toml", """
        [store]
        memory = true
        [notify.ops]
        type = "command"
        command = "true"
        [[job]]
        id = "a"
        command = "true"
        trigger = "@daily"
        notify = ["opps"]
        """)  # fmt: skip
    refused = gsched("check", "-c", "gsched.toml", directory=tmp_path)
    assert refused.code == 3 and "[[job]] 1 ('a'): notify: 'opps' is unknown; did you mean 'ops'?" in refused.err


def test_a_crontab_s_mailto_mails_output_and_failures_through_sendmail(tmp_path, monkeypatch):
    mails = tmp_path / "mails"
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "to: $*" >> {mails}; cat >> {mails}\n')
    program.chmod(0o755)
    monkeypatch.setattr("gsched.notices.channels.mail.SENDMAIL", str(program))
    tab = tmp_path / "tab"
    tab.write_text("@yearly silent; true\nMAILTO=root\n@yearly echo hello world\n@yearly exit 3\n@yearly true\n")
    scheduler = GeventScheduler(timezone="UTC", jobstores={"default": {"type": "memory"}})
    ended: list[str] = []
    scheduler.add_listener(lambda event: ended.append(event.job_id), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    loaded = load_crontab(str(tab), "UTC")
    crontab_jobs(scheduler, loaded)
    write_crontab(scheduler, loaded)
    assert write_crontab(scheduler, loaded) == {"unchanged": 4}
    scheduler.start()
    for job in scheduler.get_jobs():
        job.run()
    wait_until(lambda: len(ended) == 4, sleep=gevent.sleep)
    scheduler.shutdown()
    text = mails.read_text()
    subjects = sorted(line for line in text.splitlines() if line.startswith("Subject: "))
    assert subjects == [
        "Subject: [gsched] tab/echo-hello-world has printed something",
        "Subject: [gsched] tab/exit-3 failed: CommandFailedError: exit status 3",
    ]
    assert text.count("to: -i -- root\n") == 2 and "\nhello world\n" in text
    tab.write_text("@yearly silent; true\n@yearly echo hello world\n@yearly exit 3\n@yearly true\n")
    assert write_crontab(scheduler, load_crontab(str(tab), "UTC"))["changed"] == 3
    assert [job.policy["notify"] for job in scheduler.get_jobs()] == [[]] * 4
