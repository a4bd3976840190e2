"""Attaches and pins what a running agent has loaded, in namespaces that end with this process.

Run below `unshare -m -n` as `python -m tests.core.bpf.places DIRECTORY XDP TC PINNED_MAP`: the directory
becomes a bpffs. Prints one JSON object and waits until its input ends.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys

from core.bpf import syscall

LINK_CREATE = 28
TCX_INGRESS = 46


def run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


def tcx(program: int, ifindex: int) -> int:
    """Make a tcx link (Linux 6.6); 0 where the kernel has none."""
    with syscall.opened("program", program) as fd:
        try:
            return syscall.bpf(LINK_CREATE, struct.pack("=III", fd, ifindex, TCX_INGRESS))
        except OSError:
            return 0


def main() -> None:
    directory, xdp, tc, pinned_map = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    run("mount", "-t", "bpf", "bpf", directory)
    run("ip", "link", "add", "strange0", "type", "veth", "peer", "name", "strange1")
    run("bpftool", "net", "attach", "xdpgeneric", "id", str(xdp), "dev", "strange0")
    os.mkdir(f"{directory}/agent")
    run("bpftool", "prog", "pin", "id", str(tc), f"{directory}/agent/filter")
    run("bpftool", "map", "pin", "id", str(pinned_map), f"{directory}/agent/images")
    run("tc", "qdisc", "add", "dev", "strange0", "clsact")
    run("tc", "filter", "add", "dev", "strange0", "egress", "bpf", "direct-action", "object-pinned",
        f"{directory}/agent/filter")  # fmt: skip
    link = tcx(tc, socket.if_nametoindex("strange1"))
    answer = {
        "mount": os.stat("/proc/self/ns/mnt").st_ino,
        "net": os.stat("/proc/self/ns/net").st_ino,
        "tcx": link,
    }
    print(json.dumps(answer), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
