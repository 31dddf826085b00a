"""What people can do to jobs, in words; `Job.objects` does it."""

from __future__ import annotations

from dataclasses import dataclass, field

ENDED = frozenset({"succeeded", "failed", "cancelled", "aborted"})


@dataclass(frozen=True)
class Verb:
    """Something that people can do to jobs."""

    name: str
    label: str
    #: What it makes of jobs, as in "3 jobs were …".
    done: str
    #: What will happen, for those who are asked to confirm.
    effect: str
    #: The states, in Procrastinate's words, in which it makes sense.
    states: frozenset[str]
    #: Why not in other states, where there is more to say than the state.
    hints: dict[str, str] = field(default_factory=dict)
    #: Whether workers have something to fetch afterwards.
    wakes: bool = False

    @property
    def permission(self) -> str:
        return f"joblogs.{self.name}_job"


RETRY = Verb(
    name="retry",
    label="Retry",
    done="retried",
    effect="Back to the queue, to run as soon as a worker is free.",
    states=frozenset({"failed", "cancelled", "aborted"}),
    wakes=True,
)
CANCEL = Verb(
    name="cancel",
    label="Cancel",
    done="cancelled",
    effect="No run. What is cancelled can be retried later.",
    states=frozenset({"todo"}),
    hints={"doing": "running, abort it instead"},
)
ABORT = Verb(
    name="abort",
    label="Abort",
    done="asked to abort",
    effect=(
        "The worker is asked to stop. An asynchronous task is cancelled where it waits next; "
        "another task ends when it looks for the request."
    ),
    states=frozenset({"doing"}),
    hints={"todo": "not running yet, cancel it instead"},
)
RUN_NOW = Verb(
    name="run_now",
    label="Run now",
    done="made due now",
    effect="No more waiting for the time that was set.",
    states=frozenset({"todo"}),
    wakes=True,
)
DELETE = Verb(
    name="delete",
    label="Delete",
    done="deleted",
    effect="For good, with all events. Logs that were written stay.",
    states=ENDED,
    hints={"todo": "not run yet, cancel it first", "doing": "running, abort it first"},
)

VERBS = {verb.name: verb for verb in (RETRY, CANCEL, ABORT, RUN_NOW, DELETE)}
