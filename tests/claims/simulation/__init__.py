"""A deterministic simulation of several nodes that share the jobs of one database.

The hub, the lanes, the planning, the executors' queue and the whole claim protocol are the real code. Simulated are
what surrounds them: time, the event loop, the database, users, and everything that can go wrong. One seed, one history.

    python -m tests.claims.simulation FIRST LAST           seeds FIRST to LAST
    python -m tests.claims.simulation --seed N --trace     one of them, with what happened
"""
