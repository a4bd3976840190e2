"""Names of capabilities, compared with capsh, the kernel's header and a real process."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from core.sources.procfs import Procfs
from core.system.capabilities import capability_names
from core.system.host import LOCAL

HEADER = Path("/usr/include/linux/capability.h")
FULL = (1 << 41) - 1


def test_every_bit_has_the_name_that_the_kernel_gives_it() -> None:
    named = re.findall(r"^#define (CAP_\w+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)
    assert len(named) >= 38
    for name, bit in named:
        assert capability_names(1 << int(bit)) == name


@pytest.mark.parametrize("mask", [1, 0xA80425FB, 1 << 21 | 1 << 13, 0x3FFFF])
def test_capsh_reads_the_same_names(mask: int) -> None:
    shown = subprocess.run(
        ["capsh", f"--decode={mask:x}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    names = shown.partition("=")[2].upper().split(",")
    assert capability_names(mask).split(" ") == names


def test_full_nearly_full_empty_and_unknown() -> None:
    assert capability_names(0) == "none"
    assert capability_names(FULL) == "all"
    assert capability_names(FULL & ~(1 << 39 | 1 << 22)) == "all but CAP_SYS_BOOT CAP_BPF"
    assert capability_names(FULL | 1 << 41) == "all and bits 41"
    assert capability_names(1 << 63 | 1 << 13) == "CAP_NET_RAW and bits 63"
    assert capability_names(1 << 63) == "bits 63"


def test_a_process_with_few_rights() -> None:
    child = subprocess.Popen(
        ["setpriv", "--bounding-set=-all,+net_raw,+sys_admin", "--inh-caps=-all", "sleep", "60"]
    )
    try:
        while " (sleep) S " not in Path(f"/proc/{child.pid}/stat").read_text():
            time.sleep(0.01)
        credentials = Procfs(LOCAL).entry(child.pid)[0].credentials
        status = Path(f"/proc/{child.pid}/status").read_text()
        told = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
        assert told is not None
        assert credentials.cap_effective == int(told[1], 16)
        assert capability_names(credentials.cap_effective) == "CAP_NET_RAW CAP_SYS_ADMIN"
        assert capability_names(credentials.cap_permitted) == "CAP_NET_RAW CAP_SYS_ADMIN"
    finally:
        child.kill()
        child.wait()
