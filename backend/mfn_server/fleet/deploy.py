"""Replicas are deployed on a Ray cluster, and ended."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mfn_core.errors import ConfigError
from mfn_core.ray_cluster import connect, share_out
from mfn_server.worker.messages import Plan

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

APP, DEPLOYMENT = "mfn-studio", "model"

_HEALTH_SECONDS = 5.0
_DRAIN_SECONDS = 60.0  # for the texts of a replica that is taken away


@dataclass(frozen=True)
class FleetOptions:
    """Where replicas run, and how many.

    Attributes:
        address: of a cluster, as `mfn index --ray` takes it.
        least, most: replicas. Where they differ, there are as many as texts ask for.
        target: texts and jobs of a replica, from which on there should be more.
        up_after, down_after: seconds for which there must be too few replicas, or too many, until that is changed.
    """

    address: str
    least: int = 1
    most: int = 1
    target: float = 8.0
    up_after: float = 15.0
    down_after: float = 300.0

    @classmethod
    def of(cls, address: str, replicas: str) -> FleetOptions:
        """From how they are written: `2`, or `2-8`.

        Raises:
            ConfigError: neither.
        """
        found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", replicas)
        least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= least <= most:
            raise ConfigError(f"replicas are a number such as 2, or from one to another such as 2-8, not {replicas!r}")
        return cls(address, least, most)


def deploy(plan: Plan, options: FleetOptions) -> tuple[Any, Callable[[], None]]:
    """Deploy replicas. Blocks until they have loaded the model.

    Args:
        plan: what each does. The model lies under the same path on all machines.
        options: where.

    Returns:
        A handle to them, and what ends them.

    Raises:
        ConfigError: Ray Serve is not installed, or no cluster answers.
        RuntimeError: the model cannot be loaded.
    """
    ray, ours = connect(options.address, "serving")
    try:
        serve: Any = importlib.import_module("ray.serve")
    except ImportError as error:
        raise ConfigError("serving on many machines needs Ray Serve: pip install 'mfn-studio[ray-serve]'") from error
    from mfn_server.fleet.replica import Replica

    _, resources = share_out(ray.nodes(), options.most)
    plan = replace(plan, load=partial(_load, plan.load, max(1, int(resources["num_cpus"]))))
    numbers: dict[str, Any] = (
        {"num_replicas": options.least}
        if options.least == options.most
        else {
            "autoscaling_config": {
                "min_replicas": options.least,
                "max_replicas": options.most,
                "target_ongoing_requests": options.target,
                "upscale_delay_s": options.up_after,
                "downscale_delay_s": options.down_after,
            }
        }
    )
    serve.start(proxy_location="Disabled")  # the web process is the only client, and talks to them by handle
    model = serve.deployment(
        Replica,
        name=DEPLOYMENT,
        max_ongoing_requests=10_000,  # the web process bounds what waits
        ray_actor_options=resources,
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        **numbers,
    )
    handle = serve.run(model.bind(pickle.dumps(plan)), name=APP, route_prefix=None)

    def end() -> None:
        serve.delete(APP)
        if ours:
            serve.shutdown()
            ray.shutdown()

    return handle, end


def _load(load: Callable[[], MFNModel], threads: int) -> MFNModel:
    """The model on the replica's GPU, if it has one; else on so many cores."""
    import torch

    from mfn_core.device import find_device

    model = load().to(find_device("auto"))
    torch.set_num_threads(threads)
    return model
