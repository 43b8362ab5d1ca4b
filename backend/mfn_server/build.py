"""What computes here: all that decides, besides model and request, to which digit a text comes out the same.

Sums of floating-point numbers are rounded in an order that the build, the processor and the number of threads choose.
Two builds of one description write the same text with the same log-probabilities, bit for bit; between others a near
tie may fall the other way, and from there on the texts differ.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mfn_server import __version__

if TYPE_CHECKING:
    from mfn_core.model import MFNModel


@dataclass(frozen=True)
class Build:
    """One build. All are texts or numbers that a link can carry.

    Attributes:
        version: of MFN Studio.
        torch: its version, with what it was built for (`2.13.0+cpu`).
        transformers: its version.
        device: `cpu`, or the name of the accelerator.
        cpu: the processor's family (`x86_64`) and the widest instructions that torch uses on it (`AVX512`).
        threads: how many one operation is split among.
        dtype: in which the model computes, `float32` for instance.
        rows: how many streams are written in one pass; libraries take other sums for other numbers of rows.
    """

    version: str
    torch: str
    transformers: str
    device: str
    cpu: str
    threads: int
    dtype: str
    rows: int

    @classmethod
    def here(cls, model: MFNModel, rows: int) -> Build:
        """The build that the model runs on, in batches of so many rows. Runs where the model is."""
        import torch
        import transformers

        on_gpu = model.device.type == "cuda"
        return cls(
            version=__version__,
            torch=str(
                torch.__version__
            ),  # torch.__version__ is of a class of torch's: unpickling it would import torch
            transformers=transformers.__version__,
            device=torch.cuda.get_device_name(model.device) if on_gpu else model.device.type,
            cpu=f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            threads=torch.get_num_threads(),
            dtype=str(model.dtype).removeprefix("torch."),
            rows=rows,
        )

    def as_dict(self) -> dict[str, str | int]:
        """Its facts by name."""
        return asdict(self)
