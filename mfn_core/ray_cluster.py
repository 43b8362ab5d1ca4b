"""A Ray cluster: how one gets at it, and how work is shared out over its machines."""

from __future__ import annotations

import importlib
import logging
import socket
from typing import Any

from mfn_core.errors import ConfigError

LOCAL = "local"
"""Instead of an address: a cluster of this machine, for this run."""


def connect(address: str, what: str) -> tuple[Any, bool]:
    """Ray, and whether the connection is ours to end.

    Args:
        address: as `ray.init` takes it (`auto`, `HOST:PORT`, `ray://HOST:PORT`), or `LOCAL`.
        what: is to be done, for the message where Ray is not installed.

    Raises:
        ConfigError: it is not, or no cluster answers.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(f"{what} on many machines needs ray: pip install 'mfn-studio[ray]'") from error
    if ray.is_initialized():
        return ray, False
    _knock(address)
    try:
        if address == LOCAL:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}") from error
    return ray, True


def _knock(address: str) -> None:
    """Raises ConfigError where nobody listens at HOST:PORT. Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray cluster answers at {address}: {error}") from error


def share_out(nodes: list[dict[str, Any]], workers: int | None, device: str = "auto") -> tuple[int, dict[str, float]]:
    """How many workers, and what each asks of its machine, so that all of them find a place.

    Args:
        nodes: as `ray.nodes` gives them.
        workers: how many are wanted; without a number one for each GPU, or where there are none one for each machine.
        device: where they compute; `cpu` leaves GPUs alone.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = [int(node.get("GPU", 0)) for node in alive]
    if sum(gpus) and device != "cpu":
        return workers or sum(gpus), {"num_gpus": 1, "num_cpus": 1}
    cores = [int(node.get("CPU", 0)) for node in alive]
    n = workers or sum(1 for count in cores if count)
    each = max(cores, default=1)
    while each > 1 and sum(count // each for count in cores) < n:
        each -= 1
    return n, {"num_cpus": max(each, 1)}
