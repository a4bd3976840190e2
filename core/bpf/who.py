"""Who a holder is: its comm, and its container by name."""

from __future__ import annotations

from core.bpf.agents import HolderProcess
from core.bpf.records import HostSnapshot
from core.containers.cgroup_file import container_of_process
from core.containers.names import ContainerNames
from core.system.host import Host


class HolderNames:
    """Answers `agents()`. Reads a cgroup file for each holder and asks `names`; keeps nothing."""

    def __init__(self, host: Host, names: ContainerNames, snapshot: HostSnapshot) -> None:
        self._host = host
        self._names = names
        self._comms = {hold.pid: hold.comm for hold in snapshot.holds if hold.pid}

    def __call__(self, pid: int) -> HolderProcess:
        comm = self._comms.get(pid, b"")
        try:
            context = self._names.lookup(container_of_process(self._host, pid))
        except OSError:  # it has ended
            return HolderProcess(pid, comm)
        if context.id is None:
            return HolderProcess(pid, comm)
        return HolderProcess(pid, comm, context.id, context.shown_name, context.runtime or "")
