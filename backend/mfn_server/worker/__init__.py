"""The one owner of the model: a process of its own, so that the web never waits for a matmul nor falls with it."""

from mfn_server.worker.client import ModelWorker
from mfn_server.worker.errors import ModelNotReadyError, WorkerBusyError, WorkerLostError
from mfn_server.worker.messages import EngineFacts, Plan, Turn
from mfn_server.worker.protocol import Worker
from mfn_server.worker.standing import WorkerState

__all__ = [
    "EngineFacts",
    "ModelNotReadyError",
    "ModelWorker",
    "Plan",
    "Turn",
    "Worker",
    "WorkerBusyError",
    "WorkerLostError",
    "WorkerState",
]
