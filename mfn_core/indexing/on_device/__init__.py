"""Taking in codes where the model is: what a GPU can count and sift, it does, and little goes to the host.

The counterpart in torch of `LayerAccumulator.add`, for codes that lie on an accelerator. Copying every entry of every
token to the host, and sorting them there, would take longer than the forward pass. Instead each layer's counts, sums,
maxima and histograms stay on the device, and so do the tallies of tokens, until they are asked for or full; of the
firings only those of contexts that may be kept are copied (`sieve`), and of the tokens only those that are drawn.

What the host makes of them is byte for byte what it makes of all codes. Sums are of the same whole numbers, maxima are
maxima, and the sieve compares with thresholds which, being older than the host's, only let more through.
"""

from mfn_core.indexing.on_device.copies import upload
from mfn_core.indexing.on_device.intake import DeviceIntake, in_windows

__all__ = ["DeviceIntake", "in_windows", "upload"]
