"""What jobs in threads of a patched program do, as a program: it prints one line for each kind of job.

    python tests/support/thread_jobs.py [KIND ...]
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import asyncio
import concurrent.futures
import logging
import multiprocessing
import os
import queue
import socket
import subprocess
import sys
import threading
import time

import gevent

from gsched import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_TIMED_OUT, GeventScheduler, ThreadPoolExecutor

JOBS = 4  # of each kind, at once
LONGEST_SECONDS = 60  # a bound for what hangs

log = logging.getLogger("app")
lock, rlock, semaphore, condition = threading.Lock(), threading.RLock(), threading.Semaphore(2), threading.Condition()
barrier = threading.Barrier(JOBS)
full, simple, stack = queue.Queue(10), queue.SimpleQueue(), queue.LifoQueue(10)
turns = [threading.Event() for _ in range(50)]
items = []
shared_pool = concurrent.futures.ThreadPoolExecutor(3)
listener = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{listener.getsockname()[1]}"


def logging_(n):
    for line in range(2000):
        log.info("line %s %s", n, line)


def locks(n):
    _hold(lock)


def reentrant_locks(n):
    with rlock:
        time.sleep(0.001)
    _hold(rlock)


def semaphores(n):
    _hold(semaphore)


def _hold(what):
    for turn in range(1000):
        with what:
            if turn % 100 == 0:
                time.sleep(0.0005)


def conditions(n):
    for item in range(200):
        with condition:
            if n % 2:
                while not items:
                    assert condition.wait(LONGEST_SECONDS)
                items.pop()
            else:
                items.append(item)
                condition.notify()


def barriers(n):
    barrier.wait(LONGEST_SECONDS)


def events(n):
    for turn in turns:
        if n == 0:
            time.sleep(0.001)
            turn.set()
        else:
            assert turn.wait(LONGEST_SECONDS)


def queues(n):
    _pass_on(full, n)


def simple_queues(n):
    _pass_on(simple, n)


def stacks(n):
    _pass_on(stack, n)


def _pass_on(what, n):
    for item in range(1000):
        if n % 2:
            what.get(timeout=LONGEST_SECONDS)
        else:
            what.put(item)


def futures(n):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(abs, range(50))) == 1225


def futures_of_a_shared_pool(n):
    assert sum(shared_pool.map(lambda x: (time.sleep(0.001), x)[1], range(50))) == 1225


def threads(n):
    done = []
    started = [threading.Thread(target=done.append, args=[number]) for number in range(10)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert len(done) == 10


def sockets(n):
    assert socket.getaddrinfo("localhost", 80)
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"%d" % n)
        assert client.recv(10) == b"%d" % n


def asyncio_(n):
    async def main():
        await asyncio.sleep(0.001)
        return n

    assert asyncio.run(main()) == n


def programs(n):
    for _ in range(5):
        assert subprocess.run(["echo", str(n)], capture_output=True, text=True).stdout == f"{n}\n"
    assert subprocess.call(["sh", "-c", f"exit {n}"]) == n
    with subprocess.Popen(["sleep", "60"]) as process:
        process.kill()
        assert process.wait() == -9


def forks(n):
    if (pid := os.fork()) == 0:
        time.sleep(0.01)
        os._exit(10 + n)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10 + n


def processes(n):
    for method in ("fork", "spawn"):
        process = multiprocessing.get_context(method).Process(target=_exit, args=[20 + n])
        process.start()
        process.join()
        assert process.exitcode == 20 + n, (method, process.exitcode)


def _exit(code):
    time.sleep(0.01)
    sys.exit(code)


KINDS = {
    each.__name__.rstrip("_"): each
    for each in (
        logging_, locks, reentrant_locks, semaphores, conditions, barriers, events, queues, simple_queues, stacks,
        futures, futures_of_a_shared_pool, threads, sockets, asyncio_, programs, forks, processes,
    )
}  # fmt: skip


def echo():
    while True:
        client, _ = listener.accept()
        client.sendall(client.recv(10))
        client.close()


def log_beside():
    """The main thread logs and locks as well, and must never starve."""
    while True:
        log.info("main")
        with lock:
            gevent.sleep(0.0005)
        gevent.sleep(0.0005)  # to take the lock again before yielding starves all who wait, greenlets too


def main(kinds):
    logging.basicConfig(filename="/dev/null", level=logging.INFO)
    scheduler = GeventScheduler(
        executors={"threads": ThreadPoolExecutor(JOBS)}, timezone="UTC", blocked_hub_after=None, run_events="none"
    )
    ended = queue.Queue()
    scheduler.add_listener(ended.put, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_TIMED_OUT)
    scheduler.start()
    gevent.spawn(echo)
    gevent.spawn(log_beside)
    for kind in kinds:
        for n in range(JOBS):
            scheduler.add_job(KINDS[kind], executor="threads", args=[n], timeout=LONGEST_SECONDS)
        results = [ended.get(timeout=2 * LONGEST_SECONDS) for _ in range(JOBS)]
        print(kind, *sorted({repr(each.exception) if each.exception else each.name for each in results}), flush=True)
    scheduler.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:] or list(KINDS))
