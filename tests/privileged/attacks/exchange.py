"""renameat2(2) with RENAME_EXCHANGE, for mutators: two names swap what they stand for, at once."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchanger(one, other):
    """A function that swaps the two."""
    one, other = os.fsencode(one), os.fsencode(other)

    def swap():
        _LIBC.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
    return swap
