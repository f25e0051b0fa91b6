"""Options of the whole client, as users write them into an address: the claim protocol does not depend on them."""

from __future__ import annotations

import pytest
from programs import run_program

from gsched import ConfigurationError, MongoDBJobStore

pytest_plugins = ["mongodb"]

OPTIONS = [
    *("readConcernLevel=available", "readConcernLevel=linearizable", "readConcernLevel=snapshot"),
    *("w=0", "w=1", "wTimeoutMS=1", "journal=true"),
    *("readPreference=secondary", "readPreference=secondary&maxStalenessSeconds=120"),
    *("readPreference=nearest&readPreferenceTags=dc:ny", "retryWrites=false", "retryReads=false"),
    *("timeoutMS=450", "socketTimeoutMS=450", "waitQueueTimeoutMS=450", "compressors=zlib", "maxConnecting=1"),
    *("tz_aware=false", "uuidRepresentation=standard", "unicode_decode_error_handler=ignore"),
    "serverMonitoringMode=poll",
]

# Another process's job needs all that there is: the change feed, a claim in a transaction, the record of its end.
PROGRAM = """
    from gevent import monkey; monkey.patch_all()
    from gevent.event import Event
    from gsched import EVENT_ALL, GeventScheduler, MongoDBJobStore

    ran = Event()

    def job():
        ran.set()

    def tried(uri, number):
        events, follows = [], Event()
        stores = [MongoDBJobStore(each, collection=f"jobs{number}", modules=["__main__"]) for each in (uri, ADDRESS)]
        scheduler, other = (GeventScheduler(jobstores={"default": each}, timezone="UTC") for each in stores)
        scheduler.add_listener(lambda event: events.append(event.name), EVENT_ALL)
        scheduler.add_listener(lambda event: follows.set() if event.name == "feed.opened" else None, EVENT_ALL)
        ran.clear()
        scheduler.start()
        follows.wait(10)
        other.add_job(job, id="added")
        has_run = ran.wait(10)
        other.close()
        scheduler.shutdown()
        return has_run, sorted({"feed.lost", "store.failed", "node.fenced", "job.parked"}.intersection(events))

    for number, uri in enumerate(URIS):
        print(tried(uri, number))
"""


def test_jobs_that_another_process_adds_run_with_any_client_options_in_the_address(address):
    uris = [with_option(address, option) for option in OPTIONS]
    out, err, code = run_program(PROGRAM.replace("URIS", repr(uris)).replace("ADDRESS", repr(address)), timeout=400)
    assert (code, dict(zip(OPTIONS, out.splitlines()))) == (0, dict.fromkeys(OPTIONS, "(True, [])")), err


def with_option(address: str, option: str) -> str:
    """The address with this option in the place of one of the same name."""
    name = option.partition("=")[0]
    server, _, given = address.partition("?")
    kept = [each for each in given.split("&") if each and not each.startswith(f"{name}=")]
    return f"{server}?{'&'.join([*kept, option])}"


def test_a_value_that_the_driver_raises_a_key_error_for_is_refused_like_others():
    with pytest.raises(ConfigurationError, match="Invalid datetime_conversion value"):
        MongoDBJobStore("mongodb://127.0.0.1/?datetime_conversion=sometimes")
