"""What the commands of `bpf` share: reading the host, the ladder of rights, and options."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from tui.output import CommandError, ExitCode, narrate
from tui.settings import Settings

if TYPE_CHECKING:
    from core.bpf.agents import Agent
    from core.bpf.rates import Rate
    from core.bpf.records import HostSnapshot
    from core.bpf.snapshot import HostBpf

_Function = TypeVar("_Function", bound=Callable[..., object])

_LONGEST_STATS = 3600.0


def json_option(function: _Function) -> _Function:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object.")(function)


def stats_option(function: _Function) -> _Function:
    return click.option(
        "--stats",
        "seconds",
        type=click.FloatRange(0, _LONGEST_STATS, min_open=True),
        help="Count runs for so many seconds; it costs each run of every program about 0.1 µs meanwhile.",
    )(function)


def measured(
    settings: Settings, seconds: float | None, only: int = 0
) -> tuple[HostSnapshot, dict[int, Rate] | None]:
    """Take a snapshot, and the rates when a time is given; then its counters are those at the end."""
    from core.bpf.rates import counting, rates, read_counters

    with reading(settings) as host:
        if seconds is None:
            return host.snapshot(), None
        try:
            with counting():
                ids = [one.id for one in host.lister.programs([]) if not only or one.id == only]
                before = read_counters(ids)
                time.sleep(seconds)
                after = read_counters(ids)
                return host.snapshot(counting=True), rates(before, after)
        except PermissionError:
            raise not_permitted("run times", "counting them needs CAP_SYS_ADMIN", "CAP_SYS_ADMIN") from None


@contextmanager
def reading(settings: Settings) -> Iterator[HostBpf]:
    """Read the kernel of the host that is looked at. Raises CommandError where that is not possible."""
    from core.bpf.listing import NotPermitted
    from core.bpf.snapshot import HostBpf, is_this_kernel

    if not is_this_kernel(settings.host):
        raise CommandError(
            "--host-root shows another host; what is loaded is known to its own kernel alone",
            ExitCode.NOT_PERMITTED,
        )
    host = HostBpf(settings.host, load=settings.probe and not settings.read_only)
    try:
        yield host
    except NotPermitted:
        raise not_permitted("the eBPF of this host", "listing it needs CAP_SYS_ADMIN") from None
    except PermissionError as error:
        raise not_permitted("the eBPF of this host", error.strerror or "") from None
    except OSError as error:
        raise CommandError(f"the eBPF of this host: {error.strerror}", ExitCode.NOT_PERMITTED) from None
    finally:
        host.close()


def not_permitted(what: str, why: str, *needed: str) -> CommandError:
    """The ladder in one line: what is missing, and the command that helps."""
    from core.system.privileges import current_privileges

    way = current_privileges().way_to(*(needed or ("CAP_SYS_ADMIN",)))
    return CommandError(f"{what}: {why}; {way}", ExitCode.NOT_PERMITTED)


def agents_of(settings: Settings, snapshot: HostSnapshot) -> tuple[Agent, ...]:
    from core.bpf.agents import agents
    from core.bpf.who import HolderNames
    from core.containers.names import ContainerNames

    names = ContainerNames(settings.host, ask_runtimes=settings.ask_runtimes)
    return agents(snapshot, HolderNames(settings.host, names, snapshot))


def narrate_refused(snapshot: HostSnapshot) -> None:
    from core.text.safe import safe_text

    for row in snapshot.refused[:20]:
        help_ = f" (needs {row.fix})" if row.fix else ""
        narrate(f"not read: {safe_text(row.what, 200)}: {safe_text(row.why, 200)}{help_}")
    if len(snapshot.refused) > 20:
        narrate(f"not read: {len(snapshot.refused) - 20} more; --json has them all")
