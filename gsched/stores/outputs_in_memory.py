"""The outputs that the memory store keeps."""

from __future__ import annotations

from gsched.history.outputs import StoredOutput
from gsched.jobs.output import OutputRoom, RunOutput
from gsched.jobs.run import Run


class OutputsInMemory:
    """Outputs of attempts, as many as there is room for. The oldest of attempts that have ended go first."""

    def __init__(self) -> None:
        self._room = OutputRoom()
        self._outputs: dict[tuple[str, int], RunOutput] = {}  # by run and attempt, the oldest first

    def begin(self, run: Run) -> None:
        """Give the attempt its `output`."""
        most = run.job.policy.keep_output_bytes
        assert most is not None, "its job keeps output"
        self.forget(run.id, run.attempt)
        self._make_room(most)
        run.output = self._outputs[run.id, run.attempt] = RunOutput(most, self._room)

    def _make_room(self, size: int) -> None:
        ended = [key for key, output in self._outputs.items() if output.ended] if self._room.left < size else []
        for key in ended:
            if self._room.left >= size:
                return
            self.forget(*key)

    def forget(self, run_id: str, attempt: int) -> None:
        """Keep this output no longer; nothing happens if there is none."""
        if (output := self._outputs.pop((run_id, attempt), None) if self._outputs else None) is not None:
            output.release()

    def find(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        """See `BaseJobStore.output`."""
        if attempt is None:
            attempt = max((number for run, number in self._outputs if run == run_id), default=0)
        output = self._outputs.get((run_id, attempt))
        return None if output is None else StoredOutput(attempt, tuple(output.pieces()))
