"""What is shown of a MongoDB's URL: no password, and no option's value."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import gsched, in_process
from runner_rig import Runner

from gsched import ConfigurationError
from gsched.config import read_configuration
from gsched.runner.store_url import check_url, has_password, shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://h", "mongodb://h"),
        ("mongodb://u:SECRET@h1:27017,h2/app?replicaSet=rs0", "mongodb://h1:27017,h2/app?replicaSet"),
        ("mongodb+srv://u@cluster.example/?tls=true&w=majority", "mongodb+srv://cluster.example/?tls&w"),
        ("mongodb://%2Ftmp%2Fmongod.sock/?directConnection=true", "mongodb://%2Ftmp%2Fmongod.sock/?directConnection"),
        ("mongodb://[::1]:27017/?appName=a@b", "mongodb://[::1]:27017/?appName"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=SECRET", "mongodb://h/?tlsCertificateKeyFilePassword"),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:SECRET", "mongodb://h/?authMechanismProperties"),
    ],
)
def test_scheme_hosts_database_and_names_of_options_are_shown(url, shown):
    assert shown_url(url) == shown
    check_url(url, "--store")


HOSTILE = [
    *("u:SECRET@localhost", "mongodb://u:SE/SECRET@h/db", "mongodb://u:SE@SECRET@h", "mongodb://u:SE#SECRET@h"),
    *("mongodb://u:SE?SECRET@h", "mongodb://u:SE?SECRET=x@h", "mongodb:/u:SECRET@h", "mongodb://h:SECRET/x"),
    *("mongodb://h/?SECRET", "mongodb://h/?replicaSett=SECRET", "mongodb://h/?tls=SECRET", "mongodb://h/?SEC-RET=SECRET"),
    *("mongodb://h/?authMechanism=SECRET", "mongodb://h/?readConcernLevel=SECRET&x=1", "mongodb://[SECRET"),
    *("mongodb://u:SECRET@h,u:SECRET@h", "mongodb://h/a/SECRET", "mongodb://h/?w=1;SECRET", "mongodb://h/?tlsCAFile=/SECRET"),
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_url_that_is_wrong_is_refused_without_what_may_be_secret(url):
    assert "SECRET" not in shown_url(url)
    try:
        check_url(url, "--store")
    except ConfigurationError as error:
        assert "SECRET" not in str(error) and str(error).startswith("--store: ")
    done = in_process("doctor", GSCHED_STORE=url)
    assert "SECRET" not in done.out + done.err


def test_a_url_of_a_wrong_type_is_not_shown_either(tmp_path: Path):
    (tmp_path / "gsched.toml").write_text('[store]\nurl = ["mongodb://u:SECRET@h"]\n')
    with pytest.raises(ConfigurationError) as refused:
        read_configuration(tmp_path / "gsched.toml")
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("mongodb://h/?w=1", False), ("mongodb://u@h", False), ("mongodb://u:SECRET@h", True), ("u:SECRET@h", True),
        ("mongodb://h/?tlsCertificateKeyFilePassword=SECRET", True), ("mongodb://u:SE/SECRET@h", True),
    ],
)  # fmt: skip
def test_a_url_with_a_password_is_told_from_one_without(url, has):
    assert has_password(url) is has


def test_a_password_on_the_command_line_is_warned_of_once_and_elsewhere_not(tmp_path: Path):
    url = "mongodb://u:SECRET@127.0.0.1:1/?serverSelectionTimeoutMS=50"
    for command in ("doctor", "check"):
        done = (gsched if command == "check" else in_process)(command, "--store", url)
        assert done.err.count("can see the password in --store") == 1 and "SECRET" not in done.out + done.err
    assert "can see the password" not in in_process("doctor", GSCHED_STORE=url).err
    runner = Runner(tmp_path, "--store", url)
    try:
        assert runner.wait_for("store.password_visible")[0]["level"] == "warning"
        runner.wait_for("store.chosen")
        assert "SECRET" not in runner.text()
    finally:
        runner.kill()
