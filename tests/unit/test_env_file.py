"""Files of variables in the syntax of systemd's EnvironmentFile."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsched import ConfigurationError
from gsched.runner.shell.env_file import read_env_file


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str) -> dict[str, str]:
        file = tmp_path / "variables"
        file.write_text(text)
        file.chmod(0o600)
        return read_env_file(str(file))

    return read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("  A = two words \t\r\n", "two words"),
        ("# comment \\\n;another\n\nA=after comments", "after comments"),
        ("A=", ""),
        ("A=it's \"so\"", "it's \"so\""),
        ("A='single \\n $HOME\n\"second line\"'", "single \\n $HOME\n\"second line\""),
        ('A="double \\"quoted\\" \\$HOME \\n \\\nnext"', 'double "quoted" $HOME \\n next'),
        ("A='one'\"two\" three", "onetwothree"),
        ("A=a\\ \\\nb \\#c", "a b #c"),
        ("A=ends with a space\\ ", "ends with a space "),
        ("A=1\nA=2", "2"),
        ("A=x=y;z#no comment", "x=y;z#no comment"),
    ],
)
def test_a_value_is_what_systemd_reads(read, text, value):
    assert read(text) == {"A": value}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(("A=1\nSECRET", 2), ("A B=SECRET", 1), ("\n1A=SECRET", 2), ("=SECRET", 1)),
        *(("A='SECRET", 1), ('A=1\nB="SECRET', 2)),
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_not_shown(read, text, line):
    with pytest.raises(ConfigurationError, match=f"variables: line {line}: ") as refused:
        read(text)
    assert "SECRET" not in str(refused.value)


def test_a_file_that_others_may_write_and_a_relative_path_are_refused(tmp_path):
    file = tmp_path / "variables"
    file.write_text("A=1")
    file.chmod(0o622)
    with pytest.raises(ConfigurationError, match=r"may be written by other users \(mode 0622\)"):
        read_env_file(str(file))
    with pytest.raises(ConfigurationError, match="expected an absolute path, got 'variables'"):
        read_env_file("variables")
    with pytest.raises(ConfigurationError, match="gone: No such file"):
        read_env_file(str(tmp_path / "gone"))
