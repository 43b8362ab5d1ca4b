"""What the layers spend their time on beyond the encoder's matmul: choosing the largest entries, and sparse sums.

Everything here equals a plain formula of one or two lines of torch, which its tests compare it with.
"""

from mfn_core.kernels.bags import transposed_rows, weighted_rows
from mfn_core.kernels.select import largest

__all__ = ["largest", "transposed_rows", "weighted_rows"]
