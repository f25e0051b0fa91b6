"""The live events of one process: one ring of frames for all streams, which are Server-Sent Events."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from math import inf
from typing import Any, Final

import gevent
from gevent.monkey import get_original

from gsched.event_loop.slices import has_event_loop
from gsched.event_loop.waiter import Waiter
from gsched.web.refusals import RequestRefused

FRAMES_KEPT: Final = 256
LONGEST_FRAME: Final = 8192  # bytes
MOST_STREAMS: Final = 200
MOST_STREAMS_IN_THREADS: Final = 2  # each holds one of the server's threads
REST_SECONDS: Final = 0.25  # after frames: those of that time come together, for each write costs more than a frame
SILENCE_SECONDS: Final = 15.0  # until a comment, by which a proxy knows that the stream lives
CHECK_SECONDS: Final = 10.0  # after these, a stream that has frames to give asks again whether its user may have them
LIFE_SECONDS: Final = 300.0  # of a stream; the browser opens the next one at once
WRITE_SECONDS: Final = 20.0  # a client that takes nothing for so long is gone

_RETRY: Final = b"retry: 3000\n\n"
_COMMENT: Final = b":\n\n"
_allocate_lock = get_original("_thread", "allocate_lock")


class Feed:
    """Frames for streams. A stream is a place in the ring: there is no queue for each client that could overflow.

    A client that reads too slowly finds its place gone, and gets the frame `reset`: it loads its page anew.

    Greenlets and native threads may call it.

    :param monotonic: gives seconds
    :param wanted: called when a stream begins, and regularly while there is one: whoever publishes may begin then
    """

    def __init__(self, monotonic: Callable[[], float], wanted: Callable[[], None] = lambda: None) -> None:
        self._monotonic = monotonic
        self._wanted = wanted
        self._lock = _allocate_lock()  # never held across a switch of greenlets
        self._frames: deque[bytes] = deque(maxlen=FRAMES_KEPT)
        self._published = 0  # the number of the next frame
        self._waiters: list[Waiter] = []
        self._resting: set[Waiter] = set()
        self._streams: set[Stream] = set()
        self._is_closed = False

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def publish(self, kind: str, data: Any) -> None:
        """Give all streams a frame. One that is too long becomes `reset`."""
        text = json.dumps(data, separators=(",", ":"))
        if len(text) > LONGEST_FRAME:
            kind, text = "reset", "{}"
        with self._lock:
            self._frames.append(f"event: {kind}\nid: {self._published}\ndata: {text}\n\n".encode())
            self._published += 1
            self._wake()

    def close(self) -> None:
        """End all streams. Streams that begin later end at once."""
        with self._lock:
            self._is_closed = True
            self._wake()
            for waiter in self._resting:
                waiter.wake()
            self._resting.clear()

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.wake()
        self._waiters.clear()

    # -- streams ------------------------------------------------------------------------------------------------

    def stream(self, last: int | None, may_go_on: Callable[[], bool] = lambda: True) -> Stream:
        """A new stream.

        :param last: the number of the last frame that the client has; None: it begins with the next one
        :param may_go_on: asked every CHECK_SECONDS; the stream ends when it says no
        :raises RequestRefused: if there are too many streams
        """
        self._end_stuck_streams()
        most = MOST_STREAMS if has_event_loop() else MOST_STREAMS_IN_THREADS
        with self._lock:
            if len(self._streams) >= most:
                raise RequestRefused(
                    503, "too_many_streams", f"{len(self._streams)} clients have a stream each already",
                    "ask for the overview every ten seconds instead", headers={"Retry-After": "10"},
                )  # fmt: skip
            place = self._published if last is None else last + 1
            stream = Stream(self, place, self._monotonic(), may_go_on)
            self._streams.add(stream)
        self._wanted()
        return stream

    def next_of(self, stream: Stream) -> bytes | None:
        """The frames that a stream does not have; after a while without any a comment; None at its end."""
        self._end_stuck_streams()
        self._wanted()
        self._rest(stream)
        waiter = None
        while not self._is_closed and stream.may_go_on(self._monotonic()):
            with self._lock:
                frames = self._since(stream)
                if frames or waiter is not None:
                    stream.writing_since = self._monotonic()
                    stream.rests_until = stream.writing_since + REST_SECONDS
                    return frames or _COMMENT
                waiter = Waiter()
                self._waiters.append(waiter)
            waiter.wait(SILENCE_SECONDS)
        return None

    def _rest(self, stream: Stream) -> None:
        """Wait until the stream may have frames again, or the feed is closed."""
        seconds = stream.rests_until - self._monotonic()
        if seconds <= 0:
            return
        waiter = Waiter()
        with self._lock:
            if self._is_closed:
                return
            self._resting.add(waiter)
        try:
            waiter.wait(seconds)
        finally:
            with self._lock:
                self._resting.discard(waiter)

    def end(self, stream: Stream) -> None:
        """The client is gone."""
        with self._lock:
            self._streams.discard(stream)

    def _since(self, stream: Stream) -> bytes:
        first = self._published - len(self._frames)
        place, stream.place = stream.place, self._published
        if not first <= place <= self._published:
            return b"event: reset\nid: %d\ndata: {}\n\n" % (self._published - 1)
        return b"".join(islice(self._frames, place - first, None))

    def _end_stuck_streams(self) -> None:
        """Kill the greenlets of streams whose client takes nothing: no iterator can time out the server's write."""
        now = self._monotonic()
        for stream in list(self._streams):
            if now - stream.writing_since > WRITE_SECONDS and stream.is_of_this_thread():
                self.end(stream)
                stream.kill()


class Stream(Iterator[bytes]):
    """The bytes for one client. The server asks for more when it has written what it had.

    :ivar place: the number of the first frame that the client does not have
    :ivar began: when it began
    :ivar writing_since: since when the server writes; infinite while it does not
    :ivar rests_until: it gets no frames before
    """

    def __init__(self, feed: Feed, place: int, began: float, may_go_on: Callable[[], bool]) -> None:
        self._feed = feed
        self._may_go_on = may_go_on
        self._checked = began
        self._has_begun = False
        self._greenlet = gevent.getcurrent() if has_event_loop() else None
        self.place = place
        self.began = began
        self.writing_since = began
        self.rests_until = began

    def __next__(self) -> bytes:
        self.writing_since = inf
        if not self._has_begun:
            self._has_begun, self.writing_since = True, self.began
            return _RETRY
        frames = self._feed.next_of(self)
        if frames is None:
            self.close()
            raise StopIteration
        return frames

    def may_go_on(self, now: float) -> bool:
        """True unless its life is over, or its user may not look any more."""
        if now - self.began >= LIFE_SECONDS:
            return False
        if now - self._checked >= CHECK_SECONDS:
            self._checked = now
            return self._may_go_on()
        return True

    def close(self) -> None:
        """Called by the server when the client is gone."""
        self._feed.end(self)

    def is_of_this_thread(self) -> bool:
        """True if a greenlet of the calling thread serves it."""
        return has_event_loop() and getattr(self._greenlet, "parent", None) is gevent.get_hub()

    def kill(self) -> None:
        """End the greenlet that serves it."""
        if isinstance(self._greenlet, gevent.Greenlet):
            self._greenlet.kill(block=False)
