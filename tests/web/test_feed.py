"""The stream of live events: one ring for all, resumption, and its bounds."""

from __future__ import annotations

import json

import gevent
import pytest
from web_rig import API, CHECKER, FROM_PAGE, OPENAPI, WebRig

from gsched.stores import MemoryJobStore
from gsched.testing import ManualClock
from gsched.web import feed as feeds
from gsched.web.feed import Feed
from gsched.web.refusals import RequestRefused
from gsched.web.users import User


class Fed:
    """A feed on a manual clock."""

    def __init__(self):
        self.clock = ManualClock("2026-03-02 12:00")
        self.feed = Feed(self.clock.monotonic)

    def stream(self, last=None):
        stream = self.feed.stream(last)
        assert next(stream) == b"retry: 3000\n\n"
        return stream


@pytest.fixture
def fed(monkeypatch):
    monkeypatch.setattr(feeds, "REST_SECONDS", 0)
    with gevent.Timeout(30):
        made = Fed()
        yield made
        made.feed.close()


def test_a_frame_reaches_all_streams(fed):
    streams = [fed.stream() for _ in range(3)]
    fed.feed.publish("fact", {"job_id": "x"})
    assert {next(stream) for stream in streams} == {b'event: fact\nid: 0\ndata: {"job_id":"x"}\n\n'}


def test_a_stream_waits_for_the_next_frame(fed):
    waiting = gevent.spawn(next, fed.stream())
    gevent.sleep(0)
    assert not waiting.ready()
    fed.feed.publish("fact", 1)
    assert b"data: 1" in waiting.get()


def test_several_frames_come_at_once(fed):
    stream = fed.stream()
    for number in range(3):
        fed.feed.publish("fact", number)
    assert next(stream).count(b"event: fact") == 3


def test_frames_that_follow_each_other_closely_come_together(fed, monkeypatch):
    monkeypatch.setattr(feeds, "REST_SECONDS", 0.05)
    stream = fed.stream()
    fed.feed.publish("fact", 0)
    assert b"data: 0" in next(stream)
    fed.feed.publish("fact", 1)
    waiting = gevent.spawn(next, stream)
    gevent.sleep(0)
    fed.feed.publish("fact", 2)
    assert waiting.get().count(b"event: fact") == 2


def test_closing_the_feed_ends_a_stream_that_rests(fed, monkeypatch):
    monkeypatch.setattr(feeds, "REST_SECONDS", 60)
    stream = fed.stream()
    fed.feed.publish("fact", 0)
    next(stream)
    waiting = gevent.spawn(list, stream)
    gevent.sleep(0)
    fed.feed.close()
    assert waiting.get() == [] and fed.feed.streams == 0


def test_a_stream_that_broke_goes_on_after_the_last_frame_that_came(fed):
    for number in range(5):
        fed.feed.publish("fact", number)
    assert next(fed.stream(last=2)) == b"event: fact\nid: 3\ndata: 3\n\nevent: fact\nid: 4\ndata: 4\n\n"


@pytest.mark.parametrize("last", [2, 999_999])
def test_a_stream_whose_place_is_not_in_the_ring_is_reset(fed, last):
    for number in range(feeds.FRAMES_KEPT + 4):
        fed.feed.publish("fact", number)
    stream = fed.stream(last)
    assert next(stream).startswith(b"event: reset\n")
    fed.feed.publish("fact", "next")
    assert next(stream).count(b"event:") == 1


def test_a_slow_client_is_reset_when_it_falls_out_of_the_ring(fed):
    stream = fed.stream()
    for number in range(feeds.FRAMES_KEPT + 1):
        fed.feed.publish("fact", number)
    assert next(stream).startswith(b"event: reset\n")


def test_a_frame_that_is_too_long_becomes_a_reset(fed):
    stream = fed.stream()
    fed.feed.publish("overview", "x" * feeds.LONGEST_FRAME)
    assert next(stream) == b"event: reset\nid: 0\ndata: {}\n\n"


def test_silence_is_broken_by_a_comment(fed, monkeypatch):
    monkeypatch.setattr(feeds, "SILENCE_SECONDS", 0.01)
    assert next(fed.stream()) == b":\n\n"


def test_a_stream_ends_after_its_life(fed):
    stream = fed.stream()
    fed.clock.skip(round(feeds.LIFE_SECONDS * 1000))
    assert list(stream) == [] and fed.feed.streams == 0


def test_a_stream_ends_when_its_user_may_not_look_any_more(fed):
    answers = [True, False]
    stream = fed.feed.stream(None, lambda: answers.pop(0))
    assert next(stream) == b"retry: 3000\n\n"
    for seconds, left in ((0, 2), (feeds.CHECK_SECONDS, 1), (feeds.CHECK_SECONDS / 2, 1)):
        fed.clock.skip(round(seconds * 1000))
        fed.feed.publish("fact", seconds)
        assert b"event: fact" in next(stream) and len(answers) == left
    fed.clock.skip(round(feeds.CHECK_SECONDS * 1000))
    fed.feed.publish("fact", "secret")
    assert list(stream) == [] and fed.feed.streams == 0


def test_closing_the_feed_ends_all_streams_and_those_that_begin_later(fed):
    waiting = gevent.spawn(list, fed.stream())
    gevent.sleep(0)
    fed.feed.close()
    assert waiting.get() == [] and list(fed.stream()) == []
    assert fed.feed.streams == 0


def test_too_many_streams_are_refused_until_one_has_ended(fed, monkeypatch):
    monkeypatch.setattr(feeds, "MOST_STREAMS", 2)
    first = fed.stream()
    fed.stream()
    with pytest.raises(RequestRefused) as refused:
        fed.stream()
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "10"})
    first.close()
    fed.stream()


def test_a_stream_that_no_server_has_begun_gives_its_place_back(fed):
    stream = fed.feed.stream(None)
    stream.close()
    assert fed.feed.streams == 0


def test_a_look_at_the_headers_alone_holds_no_stream(bench):
    web = WebRig(bench.scheduler)
    response = web.request("HEAD", f"{API}/events", headers=FROM_PAGE)
    assert response.content_type == "text/event-stream" and web.app._feed.streams == 0
    web.close()


def test_a_thread_holds_few_streams(fed, bench):
    def open_many():
        opened = [fed.stream() for _ in range(feeds.MOST_STREAMS_IN_THREADS)]
        with pytest.raises(RequestRefused):
            fed.stream()
        fed.feed.publish("fact", 1)
        return [next(stream) for stream in opened]

    assert len(bench.in_thread(open_many)) == feeds.MOST_STREAMS_IN_THREADS


def test_a_thread_is_woken_by_a_frame_of_another_one(fed, bench):
    def publish():
        while not fed.feed._waiters:
            gevent.sleep(0.001)
        fed.feed.publish("fact", 7)

    gevent.spawn(publish)
    assert b"data: 7" in bench.in_thread(lambda: next(fed.stream()))


def test_a_stream_whose_client_takes_nothing_is_ended_by_the_others(fed):
    def serve(stream):
        for _ in stream:
            gevent.sleep(1000)  # a write that blocks

    stuck = gevent.spawn(lambda: serve(fed.stream()))
    gevent.sleep(0)
    fed.feed.publish("fact", 1)
    gevent.sleep(0)
    other = fed.stream()
    fed.clock.skip(round(feeds.WRITE_SECONDS * 1000) + 1)
    fed.feed.publish("fact", 2)
    assert b"data: 2" in next(other)
    gevent.joinall([stuck])
    assert isinstance(stuck.value, gevent.GreenletExit) and fed.feed.streams == 1


# -- what is published ----------------------------------------------------------------------------------------------


def frames_of(chunk):
    """(kind, data) of each frame."""
    for frame in chunk.decode().strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines())
        yield lines["event"], json.loads(lines["data"])


def next_frames(web, stream, kind):
    """The data of the next frames of a kind."""
    while True:
        found = [data for each, data in frames_of(next(stream)) if each == kind]
        if found:
            return found


@pytest.fixture
def live(bench):
    web = WebRig(bench.scheduler)
    stream = iter(web.request("GET", f"{API}/events", headers=FROM_PAGE).response)
    next(stream)
    with gevent.Timeout(30):
        yield bench, web, stream
    web.close()


def test_an_overview_comes_as_long_as_somebody_looks_on(live):
    _, web, stream = live
    (overview,) = next_frames(web, stream, "overview")
    assert overview["jobs"]["scheduled"] == 0 and overview["as_of"]
    assert web.get("overview")["series"]["at"] == [overview["as_of"]]


def test_each_of_several_stores_has_overviews_of_its_own(bench):
    bench.scheduler.add_jobstore(MemoryJobStore(), "other")
    for job_id, alias in (("a", "default"), ("b", "other"), ("c", "other")):
        bench.scheduler.add_job(print, "interval", days=1, id=job_id, jobstore=alias)
    web = WebRig(bench.scheduler)
    stream = iter(web.request("GET", f"{API}/events", headers=FROM_PAGE).response)
    next(stream)
    found = {}
    with gevent.Timeout(30):
        while len(found) < 2:
            found |= {data["jobstore"]: data["jobs"]["total"] for data in next_frames(web, stream, "overview")}
    assert found == {"default": 1, "other": 2}
    assert len(web.get("overview", jobstore="other")["series"]["at"]) >= 1
    web.close()


@pytest.mark.parametrize("then", [None, User("ops", {"run"}), OSError("no sessions")], ids=["ends", "may not", "error"])
def test_a_stream_is_checked_against_the_users_session(bench, monkeypatch, then):
    monkeypatch.setattr(feeds, "CHECK_SECONDS", 0)
    answers = [User("ops"), then]

    def authorize(environ):
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    web = WebRig(bench.scheduler, authorize=authorize)
    stream = iter(web.request("GET", f"{API}/events", headers=FROM_PAGE).response)
    with gevent.Timeout(30):
        assert list(stream) == [b"retry: 3000\n\n"]
    web.close()


def test_changes_and_failures_are_facts(live):
    bench, web, stream = live

    def fail():
        raise ValueError("no figures")

    bench.every(10, fail, id="job")
    facts = next_frames(web, stream, "fact")
    bench.advance(10)
    facts += next_frames(web, stream, "fact")
    web.post("jobs/pause", {"ids": ["job"], "reason": "x"})
    facts += next_frames(web, stream, "fact")
    assert [fact["event"] for fact in facts] == ["job.added", "run.failed", "job.paused"]
    assert facts[1]["details"]["error_message"] == "no figures" and facts[2]["details"]["by"] == "anonymous"
    event = OPENAPI["components"]["schemas"]["Event"]
    assert [CHECKER.problems(event, fact) for fact in facts] == [[], [], []]


def test_facts_are_bounded_and_the_rest_is_counted(live):
    bench, web, stream = live
    for number in range(30):
        bench.every(10, id=f"job-{number}")
    bench.settle()
    facts = next_frames(web, stream, "fact")
    assert len(facts) == 20
    bench.advance(1)
    bench.every(10, id="another")
    bench.settle()
    assert next_frames(web, stream, "dropped") == [{"facts": 10}]


def test_an_answer_is_never_older_than_a_change_that_the_feed_has_told(live):
    bench, web, stream = live
    assert web.get("jobs")["jobs"] == []
    bench.every(10, id="job")
    next_frames(web, stream, "fact")
    assert [job["id"] for job in web.get("jobs")["jobs"]] == ["job"]


def test_nothing_is_published_when_nobody_has_looked_on_for_a_minute(live):
    bench, web, stream = live
    stream.close()
    bench.clock.skip(61_000)
    bench.every(10, id="job")
    bench.settle()
    assert web.app._news._listener is None
