"""What is masked, and what is not."""

from __future__ import annotations

import pytest

from gsched.web.redaction import MASK, Redaction, is_secret, unmasked

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "name",
    [
        "password", "PASSWORD", "passwd", "db_password", "dbPassword", "passwordFile", "secret", "client_secret",
        "token", "authToken", "access-token", "api_key", "apiKey", "X-Api-Key", "Authorization", "cookie", "Set-Cookie",
        "dsn", "SENTRY_DSN", "private_key", "AWS_SECRET_ACCESS_KEY", "credentials", "session_id",
    ],
)  # fmt: skip
def test_the_value_of_a_secrets_name_is_masked(name):
    assert is_secret(name)
    assert Redaction().named("", {name: SECRET, "list": [{name: [SECRET]}]}) == {name: MASK, "list": [{name: MASK}]}


@pytest.mark.parametrize(
    "name", ["author", "tokenizer", "compass", "key", "keys", "monkey", "host", "user", "id", "passes"]
)
def test_other_values_are_shown(name):
    assert not is_secret(name)
    assert Redaction().named("", {name: "value"}) == {name: "value"}


@pytest.mark.parametrize("value", [None, True, False])
def test_a_value_that_gives_nothing_away_is_shown(value):
    assert Redaction().named("password", value) is value


@pytest.mark.parametrize(
    "text",
    [
        f"mongodb://root:{SECRET}@db.example/app",
        f"see https://{SECRET}@example.com/path",
        f"password={SECRET}",
        f"password = '{SECRET} and more'",
        f"DB_PASSWORD={SECRET} command",
        f"{{'api_key': '{SECRET}', 'a': 1}}",
        f'{{"token": "{SECRET}"}}',
        f"Authorization: Bearer {SECRET}",
        f"Authorization: {SECRET}",
        f"curl --token {SECRET} http://example.com",
        f"mysql --password={SECRET}",
        f"client_secret: {SECRET}",
        f"/path?access_token={SECRET}&x=1",
    ],
)
def test_a_text_gives_no_secret_away(text):
    shown = Redaction().whole({"error_message": text})["error_message"]
    assert SECRET not in shown and MASK in shown


@pytest.mark.parametrize(
    "text",
    ["the token has expired", "author: x", "no password given", "http://example.com/a@b", "3 passes: ok", "tokens"],
)
def test_a_text_without_a_secret_stays_as_it_is(text):
    assert Redaction().whole(text) == text


def test_texts_of_an_answer_do_not_repeat_what_is_masked_in_it():
    redaction = Redaction()
    assert redaction.named("", {"password": SECRET, "pin": "12"}) == {"password": MASK, "pin": "12"}
    assert redaction.whole({"last_error": f"{SECRET} is wrong"}) == {"last_error": f"{MASK} is wrong"}


def test_ids_stay_as_they_are_so_that_requests_can_name_them():
    answer = {"id": "token=abc", "jobs": [{"job_id": "https://u:p@x/", "last_error": "token=abc"}]}
    shown = {"id": "token=abc", "jobs": [{"job_id": "https://u:p@x/", "last_error": f"token={MASK}"}]}
    assert Redaction().whole(answer) == shown


def test_positional_arguments_are_masked_by_their_parameters():
    def connect(host, password, *tokens, port=5432):
        pass

    assert Redaction().arguments(connect, ["a", SECRET, SECRET, SECRET]) == ["a", MASK, MASK, MASK]
    assert Redaction().arguments(None, ["a", "b"]) == ["a", "b"]
    assert Redaction().arguments(print, ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"password": MASK, "n": 2}, {"password": SECRET, "n": 2}),
        ({"password": MASK, "n": 3}, {"password": SECRET, "n": 3}),
        ({"password": "new", "n": 2}, {"password": "new", "n": 2}),
        ({"n": 2}, {"n": 2}),
    ],
)
def test_a_mask_that_comes_back_stands_for_what_is_stored(given, meant):
    assert unmasked(given, {"password": MASK, "n": 2}, {"password": SECRET, "n": 2}) == meant


def test_a_mask_in_a_list_stands_for_what_is_stored_in_its_place():
    assert unmasked([1, MASK, "new"], [1, MASK], [1, SECRET]) == [1, SECRET, "new"]
    with pytest.raises(ValueError, match="not in this place"):
        unmasked([MASK], [1, MASK], [1, SECRET])
