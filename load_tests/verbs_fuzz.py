"""All verbs at random, from several users at once, while nodes and their database are killed and frozen.

What has to hold is compared with the files that the jobs write:

- no instant of a definition runs twice, unless as a recovery of a job that asks for it
- a verb returns, or raises a documented error, in time
- jobs that nobody changes go on soon after a node was killed
- in the end every job that is there is on time, and paused and removed ones are silent
- the attempts at a run begin in order, each once; all but the last are retried, or recovered from a crash
- no more than max_instances runs of a job are in progress at once
- the history has the outcome of everything that began, and of every run that was asked for
- `explain` says of what began what the history says

Run: python load_tests/verbs_fuzz.py [--store memory|sqlite|mongodb] [--seed N] [--seconds S] [--keep DIRECTORY]
It ends with 1 if something fails.
"""

from __future__ import annotations

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import argparse
import logging
import shutil
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random

import gevent

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "support")]

from fuzzing.cpu_waits import CpuWaits
from fuzzing.judge import Judge
from fuzzing.places import PLACES, SLACK, TTL, Place, place_of
from fuzzing.users import LONGEST_RUN, LONGEST_VERB, Traits, User, add_witnesses

USERS = 5
IDS = 30
QUIET = 4 * TTL + LONGEST_RUN + SLACK  # seconds at the end in which nobody disturbs


def fuzz(store: str, seed: int, seconds: float, keep: Path | None = None) -> list[str]:
    """What does not hold.

    :param keep: if something does not hold, a directory for what was written
    """
    with place_of(store) as place:
        problems = _fuzz(place, f"{store}, seed {seed}", Random(seed), seconds)
        if problems and keep is not None:
            shutil.copytree(place.directory, keep, ignore=shutil.ignore_patterns("server"), dirs_exist_ok=True)
        return problems


def _fuzz(place: Place, what: str, random: Random, seconds: float) -> list[str]:
    traits = [Traits.of(f"job{number}", random) for number in range(IDS)]
    waits = CpuWaits(place.processes)
    witnesses, since = add_witnesses(place.scheduler), time.time()
    numbers, diary = count(1), place.directory / "calls.jsonl"
    users = [User(place.make_user(), traits, random.random(), numbers, diary) for _ in range(USERS)]
    until = time.time() + seconds
    calling = [gevent.spawn(user.run, until) for user in users]
    place.disturb(Random(random.random()), until)
    gevent.joinall(calling, timeout=2 * LONGEST_VERB)
    problems = [f"a verb has not returned: {each}" for each in calling if not each.dead]
    place.settle()
    calm = time.time()
    gevent.sleep(QUIET)
    judge = Judge(place, [*traits, *witnesses], waits, since)
    judge.judge(calm, users)
    waits.close()
    (place.directory / "history.txt").write_text("\n".join(map(str, judge.runs)))
    calls = sum((user.calls for user in users), Counter())
    print(f"{what}: {calls.total()} calls: {dict(calls.most_common())}")
    print(f"{what}: {judge.count} runs, {len(place.damages)} damages, longest pause {judge.longest_pause:.1f} s")
    return [*problems, *(each for user in users for each in user.problems), *judge.problems]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=PLACES, action="append", help="default: each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--keep", type=Path, help="if something fails, a directory for what jobs, nodes and users wrote"
    )
    options = parser.parse_args()
    logging.getLogger("gsched").setLevel(logging.CRITICAL)  # jobs are meant to fail
    problems = [
        f"{store}, seed {options.seed}: {problem}"
        for store in options.store or PLACES
        for problem in fuzz(store, options.seed, options.seconds, options.keep and options.keep / store)
    ]
    print("\n".join([*problems[:50], f"{len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
