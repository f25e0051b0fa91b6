"""The channels of notifications: each against a real server or program on this machine."""

from __future__ import annotations

import email
import email.policy
import hmac
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hooks import CERTIFICATE, HookServer, MailServer, tls_server

from gsched import ConfigurationError
from gsched.notices import Command, Mail, Notifier, Ping, Sendmail, Sentry, WebHook, signature
from gsched.notices.channels.channel import Channel, ChannelError, PerRunChannel
from gsched.notices.message import Composer, Message
from gsched.notices.notice import FAILED, Notice
from gsched.notices.sending import carry_out, send_test
from gsched.testing import ManualClock

SECRET = "a-very-secret-word"
NASTY = 'x\r\nBcc: all@example.com\x1b[2J <!channel> @everyone `"$(touch /tmp/x)'


def message_about(job_id: str = "backup", text: str = "disk full") -> Message:
    notice = Notice("ops", FAILED, "default", job_id, "OSError", 2, 1000, 2000, 2000, text=text, run_id="r", instant=0)
    return Composer("gsched", lambda _: None, lambda _: None, "https://jobs.test/x/").compose([notice])


def send(channel: Channel, message: Message) -> None:
    carry_out(channel.secrets, channel.send, message)


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    yield server
    server.close()


@pytest.fixture
def servers() -> Iterator[Any]:
    made: list[Any] = []

    def make(kind: Any, *args: Any) -> Any:
        made.append(kind(*args))
        return made[-1]

    yield make
    for server in made:
        server.close()


# -- web hooks --------------------------------------------------------------------------------------------------------


def test_a_web_hook_posts_json_that_its_receiver_can_verify(hook):
    send(WebHook(hook.url, secret=SECRET, clock=ManualClock("2026-01-01")), message_about())
    (request,) = hook.requests
    timestamp = request.headers["X-Gsched-Timestamp"]
    assert (request.path, timestamp) == ("/hook/of-secret-path", "1767225600")
    signed = hmac.new(SECRET.encode(), timestamp.encode() + b"." + request.body, "sha256").hexdigest()
    assert request.headers["X-Gsched-Signature"] == f"sha256={signed}" == signature(SECRET, timestamp, request.body)
    assert request.json["subject"] == "backup failed 2 times: OSError: disk full"
    assert request.json["url"] == request.json["notices"][0]["url"] == "https://jobs.test/x/run?id=r"
    assert request.json.keys() >= {"version", "scheduler", "notifier", "event", "text"}


@pytest.mark.parametrize("template", ["slack", "teams", "discord"])
def test_a_job_s_name_calls_nobody_in_a_chat(hook, template):
    send(WebHook(hook.url, template=template), message_about(NASTY))
    sent = hook.requests[0].json
    said = {
        "slack": lambda: sent["text"],
        "teams": lambda: sent["attachments"][0]["content"]["body"][0]["text"],
        "discord": lambda: sent["content"],
    }[template]()
    assert said.startswith("x\\r\\nBcc" if template != "teams" else "x\\\\r\\\\nBcc") and "\x1b" not in said
    assert "<!channel>" not in said or template == "discord"
    assert template != "discord" or sent["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize(
    ("status", "said"),
    [(302, "127.0.0.1 answered 302; redirects are not followed"), (500, "answered 500: said by the server"),
     (0, "RemoteDisconnected")],
)  # fmt: skip
def test_a_message_that_a_web_hook_refuses_is_an_error_without_secrets(hook, servers, status, said):
    elsewhere = servers(HookServer)
    hook.status, hook.headers = status, {"Location": elsewhere.url}
    with pytest.raises(ChannelError, match=said):
        send(WebHook(hook.url), message_about())
    assert elsewhere.requests == []


def test_an_untrusted_certificate_is_refused(servers):
    server = servers(HookServer, tls_server())
    with pytest.raises(ChannelError, match="CERTIFICATE_VERIFY_FAILED"):
        send(WebHook(server.url), message_about())
    send(WebHook(server.url, ca_file=str(CERTIFICATE)), message_about())
    assert len(server.requests) == 1


# -- mail -------------------------------------------------------------------------------------------------------------


def test_mail_goes_out_encrypted_with_a_login_and_no_header_comes_from_a_job(servers):
    server = servers(MailServer, tls_server(), ("gsched", SECRET))
    options = {"port": server.port, "username": "gsched", "password": SECRET, "ca_file": str(CERTIFICATE)}
    channel = Mail("localhost", ["ops@example.com", "b@example.com"], "gsched@example.com", **options)
    send(channel, message_about(NASTY))
    ((_, to, text),) = server.mails
    mail = email.message_from_string(text, policy=email.policy.default)
    assert to == ["ops@example.com", "b@example.com"] and mail["Bcc"] is None
    assert mail["Subject"].startswith("[gsched] x\\r\\nBcc: all@example.com\\x1b[2J")
    assert "disk full" in mail.get_content() and "https://jobs.test/x/run?id=r" in mail.get_content()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"password": "wrong-" + SECRET}, r"SMTPAuthenticationError: .*535.*AUTH PLAIN \*\*\*"),
        ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"security": "none"}, "SMTPNotSupportedError"),  # no login is offered there
        ({"security": "tls"}, "SSLError"),
    ],
)
def test_mail_that_cannot_be_sent_safely_is_not_sent_and_the_error_has_no_password(servers, options, said):
    server = servers(MailServer, tls_server(), ("gsched", SECRET))
    known = {"port": server.port, "username": "gsched", "password": SECRET, "ca_file": str(CERTIFICATE)}
    with pytest.raises(ChannelError, match=said) as raised:
        send(Mail("localhost", ["ops@example.com"], "gsched@example.com", **known | options), message_about())
    assert SECRET not in str(raised.value) and server.mails == []


def test_starttls_is_never_left_out_and_a_refused_address_is_an_error(servers):
    server = servers(MailServer)
    with pytest.raises(ChannelError, match="STARTTLS"):
        send(Mail("localhost", ["a@b.test"], "c@d.test", port=server.port), message_about())
    server.refuses = True
    with pytest.raises(ChannelError, match="SMTPRecipientsRefused"):
        send(Mail("localhost", ["a@b.test"], "c@d.test", port=server.port, security="none"), message_about())


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_sendmail_gets_the_addresses_and_the_mail(tmp_path):
    program = script(tmp_path / "sendmail", f'echo "$@" > {tmp_path}/args; cat > {tmp_path}/mail')
    send(Sendmail(["root", "ops@example.com"], program=program), message_about())
    assert (tmp_path / "args").read_text() == "-i -- root ops@example.com\n"
    assert "Subject: [gsched] backup failed 2 times: OSError: disk full\n" in (tmp_path / "mail").read_text()


# -- commands, Sentry, pings ------------------------------------------------------------------------------------------


def test_a_command_gets_the_text_and_the_parts_and_no_secret_of_the_runner(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK_URL", SECRET)
    program = script(tmp_path / "tell", f"cat > {tmp_path}/text; env > {tmp_path}/env")
    send(Command([program, "$(false)"]), message_about("a\nb"))
    env = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    text = (tmp_path / "text").read_text()
    assert text.startswith("a\\nb failed 2 times") and text.endswith("\n")
    assert (env["GSCHED_EVENT"], env["GSCHED_COUNT"], env["GSCHED_ERROR_TYPE"]) == ("failed", "2", "OSError")
    assert env["GSCHED_JOB_ID"] == "a" and SECRET not in (tmp_path / "env").read_text()


def test_a_command_that_fails_is_an_error_with_what_it_wrote(tmp_path):
    with pytest.raises(ChannelError, match="ended with status 3: no line"):
        send(Command(script(tmp_path / "tell", "echo no line >&2; exit 3")), message_about())
    with pytest.raises(ChannelError, match="/nowhere: No such file"):
        send(Command("/nowhere"), message_about())


def test_sentry_gets_an_issue_for_each_job_and_error_and_the_program_is_left_alone(hook):
    import sentry_sdk

    channel = Sentry(f"http://{SECRET}@127.0.0.1:{hook.port}/42", environment="production")
    send(channel, message_about())
    (request,) = hook.requests
    assert request.path == "/api/42/envelope/" and f"sentry_key={SECRET}" in request.headers["X-Sentry-Auth"]
    event = json.loads(request.body.splitlines()[2])
    assert event["fingerprint"] == ["gsched", "failed", "backup", "OSError"]
    assert event["exception"]["values"] == [{"type": "OSError", "value": "disk full"}]
    assert (event["level"], event["environment"], event["tags"]["job_id"]) == ("error", "production", "backup")
    assert not sentry_sdk.get_client().is_active()
    hook.status = 403
    with pytest.raises(ChannelError, match=r"127\.0\.0\.1 answered 403"):
        send(channel, message_about())


def test_a_ping_reports_to_the_paths_that_healthchecks_has(hook):
    ping = Ping(hook.url + "?create=1")
    for state in ("started", "succeeded", "failed", "tested"):
        carry_out(ping.secrets, ping.report, state, "run" if state != "tested" else "", "disk full")
    paths = [request.path for request in hook.requests]
    rid = paths[0].partition("rid=")[2]
    base = "/hook/of-secret-path"
    assert paths == [f"{base}{end}?create=1&rid={rid}" for end in ("/start", "", "/fail")] + [f"{base}/log?create=1"]
    assert len(rid) == 36 and hook.requests[2].body == b"disk full"


def test_a_secret_in_an_error_is_masked_in_the_message(hook):
    send(WebHook(hook.url), message_about(text=f"cannot log in with password={SECRET}"))
    assert SECRET not in hook.requests[0].body.decode() and "password=\u2022" in hook.requests[0].json["subject"]


# -- secrets, and mistakes --------------------------------------------------------------------------------------------


def channels_with_secrets(port: int) -> list[Channel | PerRunChannel]:
    url = f"http://127.0.0.1:{port}/{SECRET}"
    return [
        WebHook(url, secret=SECRET + "2"),
        Sentry(f"http://{SECRET}@127.0.0.1:{port}/42"),
        Ping(url),
    ]


def test_no_secret_is_in_a_repr_or_an_error_whatever_the_server_answers(hook, caplog):
    caplog.set_level(logging.DEBUG)
    hook.status = 418
    for channel in channels_with_secrets(hook.port):
        with pytest.raises(ChannelError) as raised:
            send_test(Notifier("ops", channel), "gsched", None)
        shown = f"{channel!r} {channel.where()} {raised.value!r} {Notifier('ops', channel)!r} {caplog.text}"
        assert SECRET not in shown and raised.value.__cause__ is None and raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: WebHook("ftp://x.test/a"), "url: expected a URL that begins with https://"),
        (lambda: WebHook("https://u:p@x.test/a"), "url: expected a URL in ASCII, without a user"),
        (lambda: WebHook("https://x.test/a", template="slak"), "did you mean 'slack'"),
        (lambda: Mail("h", ["a b@c.test"], "c@d.test"), "to: expected an address"),
        (lambda: Mail("h", ["a@b.test\nBcc: c@d.test"], "c@d.test"), "to: expected an address"),
        (lambda: Mail("h", ["root"], "c@d.test"), "to: expected an address"),
        (lambda: Mail("h", [], "c@d.test"), "to: expected a list of addresses"),
        (lambda: Mail("h", ["a@b.test"], "c@d.test", security="no"), "security: 'no' is unknown"),
        (lambda: Mail("h", ["a@b.test"], "c@d.test", username="u"), "write both, or neither"),
        (lambda: Mail("h", ["a@b.test"], "c@d.test", security="none", username="u", password="p"), "not sent without"),
        (lambda: Mail("h", ["a@b.test"], "c@d.test", port=0), "port: expected a whole number"),
        (lambda: Sendmail(["-oQ/tmp"]), "to: expected an address"),
        (lambda: Command(""), "command: expected a program"),
        (lambda: Command('"x'), "command: expected a program"),
        (lambda: Sentry("x"), "dsn: expected a DSN of Sentry"),
        (lambda: Notifier("a b", WebHook("https://x.test/a")), "expected a name"),
        (lambda: Notifier("a", "b"), "expected a channel"),
        (lambda: Notifier("a", Ping("https://x.test/a"), events=["failed"]), "events: this channel reports each run"),
        (lambda: Notifier("a", Command("x"), events=["fail"]), "did you mean 'failed'"),
        (lambda: Notifier("a", Command("x"), events=[]), "events: name at least one"),
        (lambda: Notifier("a", Command("x"), tags="prod"), "tags: expected a list"),
        (lambda: Notifier("a", Command("x"), every=0.5), "every: must be at least a second"),
        (lambda: Notifier("a", Command("x"), all_jobs="no"), "all_jobs: expected true or false"),
    ],
)
def test_a_mistake_is_found_before_anything_is_sent(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()
