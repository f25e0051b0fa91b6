"""Writes the output of attempts into the store, in pieces, while the attempts go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.jobs.output import OutputRoom, RunOutput
from gsched.jobs.run import Run
from gsched.stores.durable.answers import OutputPart
from gsched.times.clock import Clock

EVERY_SECONDS: Final = 1.0  # between two writes
WRITTEN_BYTES: Final = 32 << 20  # at most, in each minute
_AT_ONCE: Final = 256 << 10  # bytes of one write
_MINUTE_MS: Final = 60_000
_PAUSE_SECONDS: Final = 0.05  # at least, between two writes
_LAST_TRIES: Final = 3


class OutputWriter:
    """Writes the output of runs about once a second, in a greenlet of its own. No run waits for a write.

    Output beyond WRITTEN_BYTES waits in memory for the next minute. Output that the database refuses waits for the next
    write. If the memory has no room, output is left out: see `RunOutput.add`.

    :param write: writes pieces; raises StoreError
    """

    def __init__(self, write: Callable[[Sequence[OutputPart]], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._room = OutputRoom()
        self._outputs: dict[tuple[str, int], RunOutput] = {}  # by run and attempt
        self._minute = 0
        self._written = 0  # bytes in this minute
        self._wakeup = Event()
        self._stopped = Event()

    # -- called by the hub: no waiting --------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Give the attempt its `output`."""
        most = run.job.policy.keep_output_bytes
        assert most is not None, "its job keeps output"
        run.output = self._outputs[run.id, run.attempt] = RunOutput(most, self._room)
        self._wakeup.set()

    def end(self, output: RunOutput) -> None:
        """The attempt has ended: write the rest soon."""
        output.end()
        self._wakeup.set()

    # -- the writing greenlet -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write until `stop`, then the rest."""
        while not self._stopped.is_set():
            timer = self._clock.call_later(EVERY_SECONDS, self._wakeup.set) if self._outputs else None
            self._wakeup.wait()
            if timer is not None:
                timer.cancel()
            self._wakeup.clear()
            self.flush()
            self._stopped.wait(_PAUSE_SECONDS)
        for _ in range(_LAST_TRIES):
            if self.flush(is_last=True):
                return

    def stop(self) -> None:
        """Write what is left, then end."""
        self._stopped.set()
        self._wakeup.set()

    def flush(self, is_last: bool = False) -> bool:
        """Write the new output; output beyond the minute's bound stays for a later write.

        :return: False if the database refused it
        """
        try:
            for some in self._batches(is_last):
                self._write_some(some)
        except StoreError:
            return False  # the ownership greenlet reports that the database does not answer
        except BaseException as error:
            was_interrupt(error)
            return False
        finally:
            for key in [key for key, output in self._outputs.items() if output.is_written]:
                del self._outputs[key]
        return True

    def _batches(self, is_last: bool) -> Iterable[list[tuple[RunOutput, OutputPart]]]:
        """The output to write now, in batches of about _AT_ONCE bytes."""
        batch: list[tuple[RunOutput, OutputPart]] = []
        size = 0
        for (run_id, attempt), output in list(self._outputs.items()):
            if not is_last and not self._has_left():
                break
            if pieces := output.take():
                batch.append((output, OutputPart(run_id, attempt, pieces, output.ended)))
                count = sum(len(piece.content) for piece in pieces)
                size += count
                self._written += count
            if size >= _AT_ONCE:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _has_left(self) -> bool:
        """True while more may be written in this minute."""
        minute = self._clock.now_ms() // _MINUTE_MS
        if minute != self._minute:
            self._minute, self._written = minute, 0
        return self._written < WRITTEN_BYTES

    def _write_some(self, batch: Sequence[tuple[RunOutput, OutputPart]]) -> None:
        try:
            self._write([part for _, part in batch])
        except BaseException:
            for output, part in batch:
                output.put_back(part.pieces)
            raise
        for output, part in batch:
            output.written(part.pieces)
