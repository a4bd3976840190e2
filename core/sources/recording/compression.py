"""zstd from Python's standard library (3.14 and newer), else from its backport.

Both read and write the same files. The backport cannot be installed on 3.14 and newer.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
