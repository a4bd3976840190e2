"""`make test-distributions`: runs set-up and opens every screen in fresh Debian 12, 13 and sid systems.

    tools/test_distributions.py [RELEASE…]

debootstrap creates each release once, with only the packages that the README requires. They are kept, with
the downloaded packages, in ~/.cache/ebpf-tui/chroots, or in the directory EBPF_TUI_CHROOTS (3 GB). Every run
starts from that fresh state, as the lower layer of an overlay. All mounts are in mount namespaces that end
with the command that runs in them. Needs root and takes about 15 minutes. Prints a table, and exits with 1 if
any step of any release failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.every_screen import open_every_screen

ROOT = Path(__file__).resolve().parent.parent
RELEASES = ("bookworm", "trixie", "sid")
MIRROR = "http://deb.debian.org/debian"
ASKED_FOR = "ca-certificates,git,make,python3"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
CHECKOUT = "root/ebpf-tui"
"""Path of the checkout below the root of the release."""

HANDED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")
SET_UP_S = 3600
COMMAND_S = 120

# $1: the fresh release, $2: the layer of this run, $3: the files kept between runs; then the command.
_ENTER = """
release=$1 layer=$2 kept=$3
shift 3
root=$layer/root
mount -t overlay overlay -o "lowerdir=$release,upperdir=$layer/upper,workdir=$layer/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir -p "$root/root/.cache/pip"
mount --bind "$kept/archives" "$root/var/cache/apt/archives"
mount --bind "$kept/pip" "$root/root/.cache/pip"
cd "$root"
exec chroot . /bin/sh -c 'cd "$HOME/ebpf-tui" && exec "$@"' enter "$@"
"""


class StepFailed(Exception):
    """A step failed; the message is one line with the reason."""


@dataclass(slots=True)
class Report:
    """The results for one release, one column per step."""

    release: str
    columns: dict[str, str] = field(default_factory=dict)
    ok: bool = True

    def step(self, name: str, do: Callable[[], str]) -> None:
        """Run a step and store its result; after a failure, skip all further steps."""
        if not self.ok:
            self.columns[name] = "-"
            return
        started = time.monotonic()
        print(f"{self.release}: {name}", file=sys.stderr)
        try:
            self.columns[name] = do()
        except (StepFailed, AssertionError, OSError, subprocess.SubprocessError, ValueError) as error:
            self.columns[name], self.ok = "FAILED", False
            print(f"{self.release}: {name} failed: {error}", file=sys.stderr)
        print(f"{self.release}: {name} took {time.monotonic() - started:.0f} s", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Machine:
    """One release in its own mount namespace. `layer` contains all changes of this run."""

    release: Path
    layer: Path
    kept: Path

    def command(self, *command: str) -> list[str]:
        """Return the command that runs `command` in the checkout, as root of the release."""
        environment = {
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM": "xterm-256color",
            **{name: os.environ[name] for name in HANDED_ON if name in os.environ},
        }
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "enter"]
        places = [str(self.release), str(self.layer), str(self.kept)]
        variables = [f"{name}={value}" for name, value in environment.items()]
        return [*enter, *places, "env", "-i", *variables, *command]

    def run(self, *command: str, seconds: float = COMMAND_S) -> str:
        """Run a command and return its stdout. Raises StepFailed with the end of its stderr."""
        done = subprocess.run(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise StepFailed(
                f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-1500:].strip()}"
            )
        sys.stderr.write(done.stderr)
        return done.stdout


def kept_in() -> Path:
    return Path(os.environ.get("EBPF_TUI_CHROOTS") or Path.home() / ".cache/ebpf-tui/chroots")


def fresh(release: str, kept: Path) -> Path:
    """Return the directory of the release, created by debootstrap if it does not exist."""
    place = kept / release
    if not place.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{release}.", dir=kept))
        command = [
            "debootstrap",
            "--variant=minbase",
            f"--include={ASKED_FOR}",
            release,
            str(unfinished),
            MIRROR,
        ]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"debootstrap ended with {done.returncode}: {done.stdout[-1500:].strip()}")
        unfinished.chmod(0o755)
        # A proxy of this network may use its own certificate.
        shutil.copy("/" / CERTIFICATES, unfinished / CERTIFICATES)
        unfinished.rename(place)
    return place


@contextmanager
def machine(release: str, kept: Path) -> Iterator[Machine]:
    """Yield the release below a new layer that contains the checkout; the layer is removed at the end."""
    lower = fresh(release, kept)
    archives = kept / f"{release}.packages"
    for folder in (archives / "archives/partial", archives / "pip"):
        folder.mkdir(parents=True, exist_ok=True)
    layer = Path(tempfile.mkdtemp(prefix=f"{release}.run.", dir=kept))
    try:
        for name in ("upper", "work", "root"):
            (layer / name).mkdir(mode=0o755)
        copy_checkout(layer / "upper" / CHECKOUT)
        (layer / "upper/etc").mkdir(mode=0o755)
        shutil.copy("/etc/resolv.conf", layer / "upper/etc/resolv.conf")
        yield Machine(lower, layer, archives)
    finally:
        assert str(layer) not in Path("/proc/self/mountinfo").read_text(), f"{layer} contains mounts"
        shutil.rmtree(layer)


def copy_checkout(to: Path) -> None:
    """Copy the tracked files, and the untracked ones that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)


def try_release(release: str, kept: Path) -> Report:
    report = Report(release)
    report.step("debootstrap", lambda: str(fresh(release, kept)) and "ok")
    if not report.ok:
        return report
    with machine(release, kept) as host:

        def set_up() -> str:
            host.run("tools/setup", "run", seconds=SET_UP_S)
            return "ok"

        def screens() -> str:
            open_every_screen(host.command("make", "run"), ROOT)
            return "1 2 3 4 5"

        def processes() -> str:
            listed = json.loads(host.run(".venv/bin/ebpf-tui", "ps", "--json"))
            tiers = [name for name in ("cache", "maps", "procfs") if listed["tiers"][name]["on"]]
            return f"{len(listed['processes'])}, tiers {' '.join(tiers)}"

        def doctor() -> str:
            checks = json.loads(host.run(".venv/bin/ebpf-tui", "doctor", "--json"))["checks"]
            return f"{sum(check['ok'] for check in checks)} of {len(checks)} ok"

        report.step("tools/setup run", set_up)
        report.step("python", lambda: host.run(".venv/bin/python", "--version").split()[1])
        report.step("make run: screens", screens)
        report.step("ps --json", processes)
        report.step("doctor --json", doctor)
    return report


def table(reports: list[Report]) -> Iterator[str]:
    """Yield the lines of a table with one row per release."""
    head = ["release", *max((report.columns for report in reports), key=len)]
    rows = [head, *([report.release, *report.columns.values()] for report in reports)]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(head))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()


def obstacle() -> str:
    """Install debootstrap if it is missing; return why no release can be tested, or an empty text."""
    if os.geteuid() != 0:
        return "needs root: sudo make test-distributions"
    if shutil.which("debootstrap") is None and shutil.which("apt-get"):
        install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "debootstrap"]
        subprocess.run(install, check=False, stdout=subprocess.DEVNULL)
    return "" if shutil.which("debootstrap") else "apt-get install debootstrap"


def main() -> int:
    if why := obstacle():
        print(f"cannot test the distributions here: {why}", file=sys.stderr)
        return 3
    kept = kept_in()
    kept.mkdir(parents=True, exist_ok=True)
    reports = [try_release(release, kept) for release in sys.argv[1:] or RELEASES]
    print("\n".join(table(reports)))
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
