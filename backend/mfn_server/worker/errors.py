"""What can be wrong with the worker, as routes see it: each becomes a 503 that says when to come again."""

from __future__ import annotations


class ModelNotReadyError(RuntimeError):
    """The model cannot be used now; the message says why.

    Attributes:
        code: for programs.
        retry_after: seconds after which it may be ready.
    """

    code = "model_not_ready"

    def __init__(self, message: str, retry_after: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WorkerLostError(ModelNotReadyError):
    """The model's process died while it worked on this, or shortly before; it is started again."""

    code = "worker_lost"


class WorkerBusyError(ModelNotReadyError):
    """Too much waits for the model already."""

    code = "busy"


class RemoteError(Exception):
    """Where an error was raised in the worker, as the cause of the same error here. For logs."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"
