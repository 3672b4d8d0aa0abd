"""Memory of a program that images for days."""

from __future__ import annotations

import ctypes
import os
import sys

# glibc's number of the setting in malloc.h; and bytes: more than the 2 MiB of an image of 1024²
# pixels (16 bits each), less than the 9 MiB of an array of an overview of 30 µm.
_M_MMAP_THRESHOLD, _LARGE = -3, 4 * 2**20


def return_large_arrays() -> bool:
    """Have arrays of 4 MiB or more given back to the system as soon as they are freed.

    glibc does so until the first of them is freed; from then on it takes arrays of that size from
    its heap, where whatever small thing comes to lie above them keeps them there: some 40 MiB more
    after an overview of another field. Set for good by ``MALLOC_MMAP_THRESHOLD_`` in the
    environment, the threshold is left as it is.

    Returns
    -------
    bool
        Whether it was set: not where the C library is another one.
    """
    if not sys.platform.startswith("linux") or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, _LARGE) == 1)
