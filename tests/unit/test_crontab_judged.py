"""Lines of crontabs as people write them, and what Debian's own parser says of them: `crontab -n`."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from gsched.runner.crontab.lines import read_crontab

# What Debian's cron takes, and we do.
TAKEN = [
    *("* * * * * x", "*/5 * * * * x", "0 3 * * * x", "05 08 * * * x", "0,30 * * * * x", "0-59/15 * * * * x"),
    *("1,2-4,*/7 * * * * x", "0,30,* * * * * x", "*/90 * * * * x", "0 */25 * * * x", "0 10-8/2 * * * x"),
    *("0 22-2 * * * x", "0 0 * * fri-mon x", "0 0 * * 6-1 x", "0 0 * * 5-7 x", "0 0 * * 6,7 x", "0 0 * * 7-1 x"),
    *("0 0 1 JAN * x", "0 0 * jan-dec * x", "0 0 * * sun-sat x", "0 0 * * MON,wed x", "\t0\t0\t*\t*\t*\tx"),
    *("@hourly x", "@daily x", "@midnight x", "@weekly x", "@monthly x", "@yearly x", "@annually x", "@reboot x"),
    *("* * * * *  x", "* * * * * x %input", "* * * * * A=b x", "0 0 9 * * 1 x", "*/5 * * * 1-5 root x"),
    *("A=b", "A = b", 'A="b c"', "A='b c'", "A = \"x y\" ", "A=x\"y\"", "A='x\"y'", 'A=""', "A=$HOME/x", "A=b#c"),
    *("PATH=/usr/bin:/bin  # comment", '"A B"=c', "'A'=x", "FOO.BAR=x", "1A=x", "A-B=x", "A=\t\"x\"", "A= b c "),
    *("# comment", "   # comment", "", "#A=b", 'MAILTO=""'),
]
# What both refuse.
REFUSED = [
    *("60 * * * * x", "0 24 * * * x", "0 0 0 * * x", "0 0 1-40 * * x", "0 0 * 13 * x", "0 0 * * 8 x", "*/0 * * * * x"),
    *("5/10 * * * * x", "1- * * * * x", ",1 * * * * x", "1, * * * * x", "0x5 * * * * x", "~ * * * * x"),
    *("0 0 * * SUNDAY x", "0 0 * * mon,2nd x", "* * * *", "hello"),
    *("@every 5m x", "@fortnightly x", "-*/15 * * * * x", "-@daily x", "* * * * * * x", "0 0 * * * * * bash -c x"),
    *("1 5 cron.daily run-parts x", "export A=b", "A B=c", 'A="x', 'A="x" y', "A='x' y", 'A="a"b"', '"A"x=b'),
    *('PATH="/usr/bin:/bin"  # comment', 'A= "x" # y'),
]
# Where we differ, and why.
DIFFERENT = {
    "* * * * *": "no command: cron runs an empty one",
    "@daily ": "no command: cron runs an empty one",
    "0 0 31 2 * x": "never due",
    "@weekly 10 cron.weekly run-parts x": "an anacrontab's line: cron runs the command 10",
    "1-5-9 * * * * x": "cron ignores what it does not understand",
    "*/5/2 * * * * x": "cron ignores what it does not understand",
    "*-5 * * * * x": "cron ignores what it does not understand",
    **dict.fromkeys(("0 0 ? * * x", "0 0 L * * x", "0 0 L-3 * * x", "0 0 LW * * x", "0 0 1W * * x"), "cron has none"),
    **dict.fromkeys(("0 0 * * 5L x", "0 0 * * friL x", "H * * * * x", "H/15 * * * * x"), "cron has none"),
    "=x": "a variable without a name",
    '""=x': "a variable without a name",
    "A=": "cron refuses an empty value without quotes",
    "@Daily x": "cron refuses capitals",
}

# What both take, and cron reads otherwise: as 5, for it ignores what it does not understand.
READ_OTHERWISE = ["0 0 * * 5#2 x", "0 0 * * fri#2 x"]


def is_taken(line: str) -> bool:
    return read_crontab(line, timezone="UTC").errors == []


@pytest.mark.parametrize(("lines", "verdict"), [(TAKEN, True), (READ_OTHERWISE, True), (REFUSED, False)])
def test_lines_are_taken_or_refused_as_by_debians_cron(lines, verdict):
    assert [line for line in lines if is_taken(line) != verdict] == []


@pytest.mark.skipif(shutil.which("crontab") is None, reason="Debian's cron is not installed")
def test_debians_cron_says_so_itself(tmp_path):
    def said(line: str) -> bool:
        (tmp_path / "cron").write_text(f"{line}\n")
        done = subprocess.run(["crontab", "-n", str(tmp_path / "cron")], capture_output=True, check=False)
        return done.returncode == 0

    assert [line for line in [*TAKEN, *READ_OTHERWISE] if not said(line)] == []
    assert [line for line in REFUSED if said(line)] == []
    assert [line for line in DIFFERENT if said(line) == is_taken(line)] == []
