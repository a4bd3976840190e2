"""Sends signals to the intended process, or to none.

A pid may be reused between drawing a row and pressing a key. A pidfd refers to one process; the start time is
compared after it was opened, and the signal goes through it. If the process cannot be verified, nothing is
sent.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum

import msgspec

from core.model.entities import ProcessKey, same_start
from core.sources.procfs import Procfs, ProcfsError
from core.system.host import Host


class Delivery(StrEnum):
    """The result of a signal. Only SENT reached a process."""

    SENT = "sent"
    GONE = "gone"
    OTHER_PROCESS = "other process"
    NOT_PERMITTED = "not permitted"
    NOT_VERIFIED = "not verified"


class SignalResult(msgspec.Struct, frozen=True):
    """`detail` is one safe line for people."""

    key: ProcessKey
    signal: signal.Signals
    delivery: Delivery
    detail: str

    @property
    def sent(self) -> bool:
        return self.delivery is Delivery.SENT


class _NotSent(Exception):
    def __init__(self, delivery: Delivery, why: str) -> None:
        super().__init__(why)
        self.delivery = delivery


def send_signal(host: Host, key: ProcessKey, number: signal.Signals) -> SignalResult:
    """Send a signal to exactly the process `key`; failures are in the result, none is raised.

    Start times from /proc are exact to a tick (10 ms): another process is mistaken for this one only if both
    started within the same tick and had the same pid.
    """
    name = f"{number.name} to {key.tgid}"
    try:
        _send(host, key, number)
    except _NotSent as reason:
        return SignalResult(key, number, reason.delivery, f"{name}: not sent, {reason}")
    return SignalResult(key, number, Delivery.SENT, f"{name}: sent")


def _send(host: Host, key: ProcessKey, number: signal.Signals) -> None:
    if not host.is_local:
        raise _NotSent(Delivery.NOT_VERIFIED, "signals cannot be sent to a host below --host-root")
    try:
        descriptor = os.pidfd_open(key.tgid)
    except ProcessLookupError:
        raise _NotSent(Delivery.GONE, "the process has ended") from None
    except OSError as error:  # no pidfd_open before Linux 5.3, or in this sandbox
        raise _NotSent(Delivery.NOT_VERIFIED, f"pidfd_open failed ({error.strerror})") from None
    try:
        _verify(host, key)
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        raise _NotSent(Delivery.GONE, "the process has ended") from None
    except PermissionError:
        raise _NotSent(Delivery.NOT_PERMITTED, "it runs as another user (needs CAP_KILL)") from None
    except OSError as error:
        raise _NotSent(Delivery.NOT_VERIFIED, f"the kernel refused ({error.strerror})") from None
    finally:
        os.close(descriptor)


def _verify(host: Host, key: ProcessKey) -> None:
    try:
        stat = Procfs(host).stat(key.tgid)
    except ProcfsError as error:
        raise _NotSent(Delivery.NOT_VERIFIED, str(error)) from None
    if not same_start(stat.start_ns, key.start_ns):
        raise _NotSent(Delivery.OTHER_PROCESS, "the pid belongs to another process now")
    if stat.state in "ZX":
        raise _NotSent(Delivery.GONE, "the process has ended, its parent has not reaped it yet")
