"""Where zstd comes from: Python's library from 3.14 on, before that the backport of it.

Both write and read the same files. The backport cannot be installed on 3.14 and newer.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
