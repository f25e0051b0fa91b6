"""Whether a node's process has ended: told only where this machine can prove it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gsched.stores.claims import process_marks
from gsched.stores.claims.process_marks import has_ended, mark_document, own_mark, read_mark

OURS = own_mark()
assert OURS is not None, "these tests need /proc"


@pytest.fixture
def child():
    """A process that has written down its mark, and waits."""
    program = (
        "from gsched.stores.claims.process_marks import *; import json, sys\n"
        "print(json.dumps(mark_document(own_mark())), flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def mark_of(process):
    mark = read_mark(json.loads(process.stdout.readline()))
    assert mark is not None and mark.pid == process.pid
    return mark


def test_a_process_that_lives_has_not_ended_and_one_that_was_killed_has(child):
    mark = mark_of(child)
    assert not has_ended(mark, OURS.place)
    child.send_signal(signal.SIGSTOP)
    assert not has_ended(mark, OURS.place)
    child.kill()
    child.wait()
    assert has_ended(mark, OURS.place)


def test_a_process_that_nobody_has_reaped_yet_proves_nothing(child):
    mark = mark_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not has_ended(mark, OURS.place)


def test_another_process_with_the_same_number_proves_that_the_first_has_ended():
    assert not has_ended(OURS, OURS.place)
    assert has_ended(OURS._replace(started=OURS.started - 1), OURS.place)


@pytest.mark.parametrize(
    "there",
    [
        OURS.place._replace(boot="another machine, or another boot"),
        OURS.place._replace(pids=OURS.place.pids + 1),
        OURS.place._replace(times=OURS.place.times + 1),
    ],
    ids=["boot", "pids", "times"],
)
def test_the_end_of_a_process_that_lived_elsewhere_is_not_proven(child, there):
    mark = mark_of(child)._replace(place=there)
    child.kill()
    child.wait()
    assert not has_ended(mark, OURS.place)


def test_a_process_of_another_user_proves_nothing_while_proc_hides_it(monkeypatch, tmp_path):
    def refuse(pid, number):
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(process_marks.os, "kill", refuse)
    assert not has_ended(OURS, OURS.place, proc=tmp_path)


@pytest.mark.parametrize("stat", ["", "1 (x", "1 (python) S 1", "1 (a) b) S " + "x " * 30])
def test_a_process_whose_start_time_cannot_be_read_proves_nothing(monkeypatch, tmp_path, stat):
    monkeypatch.setattr(process_marks.os, "kill", lambda pid, number: None)
    (tmp_path / str(OURS.pid)).mkdir()
    (tmp_path / str(OURS.pid) / "stat").write_text(stat)
    assert not has_ended(OURS, OURS.place, proc=tmp_path)


def test_a_name_with_parentheses_and_spaces_does_not_shift_the_start_time(monkeypatch, tmp_path):
    monkeypatch.setattr(process_marks.os, "kill", lambda pid, number: None)
    (tmp_path / "7").mkdir()
    fields = " ".join(["S", *map(str, range(1, 40))])
    (tmp_path / "7" / "stat").write_text(f"7 (a) S 1 (b)) {fields}")
    assert not has_ended(OURS._replace(pid=7, started=19), OURS.place, proc=tmp_path)
    assert has_ended(OURS._replace(pid=7, started=18), OURS.place, proc=tmp_path)


# -- marks ----------------------------------------------------------------------------------------------------------


def test_a_mark_is_read_as_it_was_stored():
    assert read_mark(mark_document(OURS)) == OURS
    assert mark_document(None) is None


@pytest.mark.parametrize("field", ["boot", "pids", "times", "pid", "started"])
@pytest.mark.parametrize("value", [None, "", -1, 1.5, True, [], "x" * 9])
def test_a_mark_with_a_missing_or_strange_field_is_none(field, value):
    document = {**mark_document(OURS), field: value}
    if field == "boot" and value == "x" * 9:
        assert read_mark(document) is not None
    else:
        assert read_mark(document) is None
    assert read_mark({name: each for name, each in document.items() if name != field}) is None


@pytest.mark.parametrize("document", [None, "rubbish", 5, [], {}])
def test_a_document_that_is_no_mark_is_read_as_none(document):
    assert read_mark(document) is None


@pytest.mark.parametrize("lacking", ["self", "sys/kernel/random/boot_id", "self/ns/pid", "stat"])
def test_a_process_has_no_mark_if_proc_does_not_show_it(tmp_path, lacking):
    make_proc(tmp_path, lacking)
    assert own_mark(tmp_path) is None


def test_a_process_has_no_mark_if_proc_belongs_to_another_name_space(tmp_path):
    make_proc(tmp_path)
    assert own_mark(tmp_path) is not None
    (tmp_path / "self").unlink()
    (tmp_path / "self").symlink_to("1")
    assert own_mark(tmp_path) is None


def make_proc(proc: Path, lacking: str = "") -> None:
    """What `own_mark` reads of /proc, but for one thing."""
    me = proc / str(os.getpid())
    (me / "ns").mkdir(parents=True)
    (proc / "sys/kernel/random").mkdir(parents=True)
    if lacking != "self":
        (proc / "self").symlink_to(me.name)
    if lacking != "sys/kernel/random/boot_id":
        (proc / "sys/kernel/random/boot_id").write_text("a boot\n")
    if lacking != "self/ns/pid":
        (me / "ns/pid").touch()
    if lacking != "stat":
        (me / "stat").write_bytes(Path("/proc/self/stat").read_bytes())


# -- containers -----------------------------------------------------------------------------------------------------

# Not --mount-proc, which needs a root that is a mount of its own: that of a chroot is none.
IN_A_CONTAINER = [
    *("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--pid", "--fork", "--kill-child"),
    *("--mount", "--propagation", "unchanged", "sh", "-c"),
    *('mount --make-private /proc && mount -t proc proc /proc && exec "$@"', "sh"),
]


def test_a_live_node_in_another_container_of_the_machine_has_not_ended_though_boot_id_and_host_are_the_same():
    program = """
import json, socket, sys
from gsched.stores.claims.process_marks import has_ended, mark_document, own_mark, read_mark
mark = own_mark()
print(json.dumps([socket.gethostname(), mark_document(mark)]), flush=True)
for line in sys.stdin:
    print(has_ended(read_mark(json.loads(line)), mark.place), flush=True)
"""
    containers = [
        subprocess.Popen(
            [*IN_A_CONTAINER, sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        (host, one), (other_host, other) = (json.loads(each.stdout.readline()) for each in containers)
        assert host == other_host and one["boot"] == other["boot"] == OURS.place.boot
        assert one["pid"] == other["pid"] == 1, "the same number in both"
        for container, document in zip(containers, (other, one)):
            # Not even with the start time of a process that is not there.
            for claimed in (document, {**document, "started": 1}, {**document, "pid": 4_000_000}):
                container.stdin.write(json.dumps(claimed) + "\n")
                container.stdin.flush()
                assert container.stdout.readline() == "False\n"
        assert not has_ended(read_mark(one), OURS.place) and not has_ended(read_mark(other), OURS.place)
    finally:
        for container in containers:
            container.kill()
            container.wait()
