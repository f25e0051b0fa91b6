"""Makes a Python on Linux a stand-in for one on Windows: with this folder on PYTHONPATH, at its start.

What only POSIX has is taken away from the standard library and gevent after they were imported, so that gsched finds
none of it. What Windows has instead, and gsched uses, is imitated. `subprocess` and `socketpair` go on as they are.
"""

import contextlib
import importlib
import io
import os
import select
import signal
import socket
import sys
import time
import uuid
from threading import Thread

for name in (
    *("asyncio", "ctypes", "logging.config", "multiprocessing.spawn", "sqlite3", "subprocess", "tempfile", "unittest"),
    *("apscheduler.schedulers.background", "bson", "click", "gevent.monkey", "gevent.os", "gevent.pywsgi"),
    *("gevent.resolver.blocking", "gevent.resolver.thread", "gevent.select", "gevent.socket", "gevent.subprocess"),
    *("gevent.threadpool", "hypothesis", "prometheus_client", "pymongo", "pytest", "sqlalchemy.dialects.sqlite"),
    *("structlog", "tzlocal", "zoneinfo"),
):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)

MODULES = "fcntl grp nis posix pty pwd readline resource spwd syslog termios tty _posixshmem"
NAMES = {
    os: (
        "chown chroot confstr fchdir fchmod fchown fork forkpty fpathconf getegid geteuid getgid getgroups getpgid"
        " getpriority getresuid getsid getuid initgroups killpg lchown lockf mkfifo mknod nice openpty pathconf"
        " pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev readv"
        " register_at_fork sched_getaffinity sendfile set_blocking setegid seteuid setgid setgroups setpgid"
        " setpriority setsid setuid statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4 waitid writev"
        " O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK ST_RDONLY WIFSIGNALED WTERMSIG WEXITSTATUS"
    ),
    select: "epoll poll POLLIN POLLOUT POLLERR POLLHUP POLLNVAL",
    signal: (
        "SIGALRM SIGCHLD SIGCONT SIGHUP SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 SIGWINCH SIGXFSZ SIG_BLOCK SIG_SETMASK"
        " SIG_UNBLOCK alarm pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait"
    ),
    time: "clock_gettime clock_gettime_ns clock_getres tzset CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_REALTIME",
    sys.modules["gevent.os"]: "fork forkpty waitpid fork_and_watch",
}
_send_fds, _recv_fds, _unix = socket.send_fds, socket.recv_fds, socket.AF_UNIX


def _share(ours, pid):
    copy, listener = ours.dup(), socket.socket(_unix)
    listener.bind(name := f"\0{uuid.uuid4().hex}")
    listener.listen()

    def hand_over():
        line, _ = listener.accept()
        with line, listener, copy:
            _send_fds(line, [b"."], [copy.fileno()])

    Thread(target=hand_over, daemon=True).start()
    return name.encode()


def _fromshare(info):
    with socket.socket(_unix) as line:
        line.connect(info.decode())
        return socket.socket(fileno=_recv_fds(line, 1, 1)[1][0])


for name in MODULES.split():
    sys.modules[name] = None
for module, names in NAMES.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
socket.socket.share, socket.fromshare = _share, _fromshare
sys.modules["tzlocal"].get_localzone_name = lambda: "Europe/Berlin"
io._WindowsConsoleIO = type("_WindowsConsoleIO", (), {})
sys.platform = "win32"
