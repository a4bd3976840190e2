"""Makes a new tests/tui/shop.rec: a real recording of a host that runs only what this tool starts.

    sudo .venv/bin/python tools/make_recording.py [FILE]

Takes about three minutes, as root, on a kernel that loads the probe. Needs the Debian packages busybox-static
containerd docker.io gcc make runc util-linux vim, and a /usr/bin/python3 of the version in .venv. The host is
described in `recorded_host/`: its init, users, services and containers run in their own namespaces (pid,
mount, uts, ipc, net), so the file contains no processes, users or names of this machine. `ebpf-tui record`
runs among them, as on any host, while keys are typed into a shell. `print_texts` prints every text in the
file; read it before you commit the file. The pictures that the tests compare depend on the recording: run
`make snapshots` and `make screenshots` afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from core.model.entities import ProcessEntry
from core.model.events import CgroupMove, Exec, Fork
from core.sources.recording.file import Events, Head, Looked, Named, Snapshot, User, read
from tests.containers_real import remove_empty_cgroup

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / "tools/recorded_host"
COMMITTED = ROOT / "tests/tui/shop.rec"
HOSTNAME = "shop-1"
SETTLE, RECORDED = 40, 60
"""Seconds from the start of the last container to the start of the recording, and its length."""

STAGE = """
set -e
for group in /sys/fs/cgroup/*/cgroup.procs; do echo $$ >"$group"; done
mount --make-rprivate /
hostname "$NAME"
mount -t tmpfs tmpfs /var
mkdir -p /var/tmp /var/lib /var/log /var/run
mount --bind "$STAGE/out" /var/tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /usr/local/sbin
cp "$STAGE/ebpf-tui" /usr/local/sbin/ebpf-tui
for name in crond login syslogd; do ln -s /bin/busybox "/usr/local/sbin/$name"; done
mount -t tmpfs tmpfs /opt
mkdir /opt/ebpf-tui
mount --bind "$ROOT" /opt/ebpf-tui
for folder in etc srv home; do mount --bind "$STAGE/$folder" "/$folder"; done
mount -t devpts -o newinstance,ptmxmode=0666,gid=5 devpts /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs /tmp
cd /
exec env -i PATH="$PATH" POD="$POD" ORDERS="$ORDERS" METRICS="$METRICS" SETTLE="$SETTLE" \\
    RECORDED="$RECORDED" PYTHONPATH="/opt/ebpf-tui:/opt/ebpf-tui/$PACKAGES" LANG=C.UTF-8 \\
    bash -c 'exec -a /sbin/init /bin/busybox'
"""

NIGHTLY = "sleep 30; gzip -9 </dev/zero | cat >/dev/null"
"""The command of the container `nightly-report`."""

PROGRAM = """#!/usr/bin/python3
import sys
from tui.cli.main import main
sys.exit(main())
"""

KEYS = [
    (-22, "cd shop; log=/tmp/access.log\n"),
    (-20, "tail -F $log | grep --line-buffered POST | sed -u s/POST/sold/ >/tmp/sold &\n"),
    (4, "sh release &\n"),
    (14, "make -B -j2 shop\n"),
    (24, "kill %2; sh -c 'sleep 0.5; exit 3'\n"),
    (30, "make -B -j2 shop\n"),
    (36, "sh release &\n"),
    (42, "make -B -j2 shop; vim main.c\n"),
]
"""Keys that the user deploy types, with the seconds after the start of the recording."""


def _stage(folder: Path) -> None:
    """Prepare the files of the host's namespaces in `folder`."""
    for name in ("etc", "srv", "home"):
        shutil.copytree(HOST / name, folder / name)
    for name in ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "vim"):
        origin = Path("/etc") / name
        if origin.is_dir():
            shutil.copytree(origin, folder / "etc" / name, symlinks=True)
        else:
            shutil.copy(origin, folder / "etc" / name)
    (folder / "ebpf-tui").write_text(PROGRAM)
    (folder / "ebpf-tui").chmod(0o755)
    (folder / "etc/hostname").write_text(HOSTNAME + "\n")
    for name in ("mtab", "resolv.conf", "hosts"):
        (folder / "etc" / name).touch()
    rootfs = folder / "srv/bundle/rootfs"
    shutil.copytree(HOST / "image", rootfs)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    for name in ("sh", "sleep", "dd", "sha256sum", "gzip", "cat"):
        (rootfs / "bin" / name).symlink_to("busybox")
    (folder / "out").mkdir()
    subprocess.run(["tar", "-C", rootfs, "-cf", folder / "out/image.tar", "."], check=True)
    subprocess.run(["runc", "spec", "-b", rootfs.parent], check=True)
    spec = rootfs.parent / "config.json"
    config = json.loads(spec.read_text())
    config["process"] |= {"terminal": False, "args": ["sh", "-c", NIGHTLY]}
    spec.write_text(json.dumps(config))
    os.mkfifo(folder / "out/keys")


@contextmanager
def _host(folder: Path) -> Iterator[None]:
    """Run the host. Killing its init ends all of its processes."""
    names = {
        "NAME": HOSTNAME, "STAGE": str(folder), "ROOT": str(ROOT), "POD": str(uuid.uuid4()),
        "ORDERS": os.urandom(32).hex(), "METRICS": os.urandom(32).hex(),
        "PACKAGES": str(Path(msgspec.__file__).parents[1].relative_to(ROOT)),
        "SETTLE": str(SETTLE), "RECORDED": str(RECORDED),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
    spaces = ("--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--kill-child", "--mount-proc")
    with open(folder / "log", "wb") as log:
        init = subprocess.Popen(
            ["unshare", *spaces, "sh", "-c", STAGE],
            env=names, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        init.kill()
        init.wait()
        for cgroup in _text(folder / "out/cgroups").splitlines():
            _wait_for(partial(_is_empty, cgroup), 10, folder)
            remove_empty_cgroup(cgroup)


def _type_keys(folder: Path, keys: int) -> None:
    """Type KEYS, after the last container has started, and wait until the recording has ended."""
    out = folder / "out"
    _wait_for((out / "ready").exists, 120, folder)
    start = time.monotonic() + SETTLE
    for seconds, text in KEYS:
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        os.write(keys, text.encode())
    _wait_for(lambda: "events, " in _text(out / "told"), RECORDED + 60, folder)


def _wait_for(condition: Callable[[], bool], seconds: float, folder: Path) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            output = f"{_text(folder / 'out/told')}{_text(folder / 'log')[-2000:]}"
            raise SystemExit(f"timed out after {seconds:.0f} s; output of the host: {output}")
        time.sleep(0.2)


def _is_empty(cgroup: str) -> bool:
    return not any(_text(procs) for procs in Path("/sys/fs/cgroup").glob(f"*{cgroup}/cgroup.procs"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def make(destination: Path) -> None:
    """Start the host, record it and copy the recording to `destination`."""
    with tempfile.TemporaryDirectory(prefix="ebpf-tui-host-") as name:
        folder = Path(name)
        _stage(folder)
        keys = os.open(folder / "out/keys", os.O_RDWR)
        with _host(folder):
            _type_keys(folder, keys)
        os.close(keys)
        shutil.copyfile(folder / "out/shop.rec", destination)


def print_texts(path: Path) -> None:
    """Print every text of a recording once, for review before it is committed."""
    texts: set[str] = set()
    for message in read(path):
        match message:
            case Head():
                texts.add(f"head: {message.host} {message.tiers}")
            case Snapshot():
                texts.update(_texts(seen.entry) for seen in message.found)
            case Looked():
                texts.add(_texts(message.entry))
            case Named():
                texts.add(f"container: {message.cgroup!r} {message.container}")
            case User():
                texts.add(f"user: {message.uid} {message.name}")
            case Events(events=events):
                texts.update(_texts(event.entry) for event in events if isinstance(event, Exec))
                texts.update(f"comm: {event.comm!r}" for event in events if isinstance(event, Fork))
                texts.update(f"moved: {event.cgroup!r}" for event in events if isinstance(event, CgroupMove))
    for line in sorted(texts):
        print(line)


def _texts(entry: ProcessEntry) -> str:
    return " ".join(map(repr, (entry.comm, entry.exe, entry.cmdline, entry.script, entry.cgroup, entry.tty)))


if __name__ == "__main__":
    file = Path(sys.argv[1]) if sys.argv[1:] else COMMITTED
    make(file)
    print_texts(file)
