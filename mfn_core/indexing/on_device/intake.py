"""All layers' codes of a batch, from the device into an index's state."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from torch import Tensor

from mfn_core.codes import SparseCodes
from mfn_core.errors import MFNError
from mfn_core.indexing.accumulator import UNSOUND, LayerAccumulator, WindowBatch
from mfn_core.indexing.batching import ForwardBatch
from mfn_core.indexing.on_device.copies import Download, Downloads, upload
from mfn_core.indexing.on_device.firings import Places
from mfn_core.indexing.on_device.layer import DeviceLayer, Sifted


class DeviceIntake:
    """Takes codes where they are. Call `finish` before the states are read.

    The host is one batch behind: while it works on what is left of one, the device is busy with the next. All the
    device is asked to do for a batch can be queued without waiting for it, since nothing depends on how much fires.

    Args:
        states: of each layer, by block number; not to be touched until `finish`.
        device: where the codes are.
        pool: in which layers are worked on side by side on the host.
    """

    def __init__(self, states: Mapping[int, LayerAccumulator], device: torch.device, pool: Executor) -> None:
        self._layers = {number: DeviceLayer(state, device) for number, state in states.items()}
        self._device = device
        self._pool = pool
        self._downloads = Downloads(device)
        self._waiting: _Batch | None = None

    @property
    def bytes_copied(self) -> int:
        """Bytes that went from the device to the host so far; or would have, had there been any way to go."""
        return self._downloads.bytes

    @torch.inference_mode()
    def take(self, batch: WindowBatch, codes: Mapping[int, SparseCodes]) -> None:
        """Takes in a batch of windows, none of which was seen before.

        Args:
            batch: where they lie.
            codes: of each layer, [W, L, K] on the device.

        Raises:
            MFNError: a value of the batch before is negative or not finite. The states then lack something, and are of
                no more use.
        """
        places = Places.of(batch, self._device)
        sifted = {
            number: layer.add(batch, places, codes[number].indices, codes[number].values, self._downloads)
            for number, layer in self._layers.items()
        }
        sizes = [torch.stack([of_layer.n_kept, of_layer.sound.long()]) for of_layer in sifted.values()]
        before, self._waiting = self._waiting, _Batch(batch, sifted, self._downloads.start([torch.stack(sizes)]))
        self._keep(before)

    @torch.inference_mode()
    def finish(self) -> None:
        """Brings the states up to date with all that was taken in. More may be taken in afterwards.

        Raises:
            MFNError: as `take`.
        """
        before, self._waiting = self._waiting, None
        self._keep(before)
        for layer in self._layers.values():
            layer.finish(self._downloads)

    def _keep(self, batch: _Batch | None) -> None:
        if batch is None:
            return
        (sizes,) = batch.sizes.arrays()
        if not sizes[:, 1].all():
            raise MFNError(UNSOUND)
        tensors: list[Tensor] = []
        for n_kept, of_layer in zip(sizes[:, 0].tolist(), batch.sifted.values(), strict=True):
            tensors += [of_layer.kept[:n_kept], of_layer.drawn]
        arrays = self._downloads.fetch(tensors)

        def keep(i: int) -> None:
            number = numbers[i]
            self._layers[number].keep(batch.windows, arrays[2 * i], arrays[2 * i + 1], batch.sifted[number])

        numbers = list(batch.sifted)
        for _ in self._pool.map(keep, range(len(numbers))):
            pass


def in_windows(codes: Mapping[int, SparseCodes], batch: ForwardBatch, device: torch.device) -> dict[int, SparseCodes]:
    """Codes of a forward batch, of each layer, [B, T, K], by window: [W, L, K], as they lie on a device."""
    places = upload(batch.places, device)

    def of_layer(found: SparseCodes) -> SparseCodes:
        indices, values = (x.reshape(-1, found.width)[places] for x in (found.indices, found.values))
        return SparseCodes(indices, values, found.n_features)

    return {number: of_layer(found) for number, found in codes.items()}


@dataclass(frozen=True)
class _Batch:
    """A batch that the device has been asked to deal with. `sizes`: int64 [layers, 2], of `n_kept` and `sound`."""

    windows: WindowBatch
    sifted: dict[int, Sifted]
    sizes: Download
