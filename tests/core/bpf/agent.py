"""Loads agent.bpf.o as an agent would and waits until its input ends; what it loads ends with it.

Run as `python -m tests.core.bpf.agent OBJECT`; prints one JSON object with its descriptors by name.
"""

from __future__ import annotations

import ctypes
import json
import sys
from ctypes import c_void_p
from pathlib import Path

from core.probe.libbpf import LibbpfError, OpenOptions, load_libbpf

ATTACHED = ("on_sys_enter_with_a_name_longer_than_15", "on_switch", "each_task")
MAPS = (  # noqa: SIM905
    "images recent counters percpu_counts ring of_tasks inner_map of_maps jumps .data .bss .rodata"
).split()
PROGRAMS = [
    "on_sys_enter_with_a_name_longer_than_15",
    "tail_called",
    "on_switch",
    "each_task",
    "pass_frames",
    "pass_packets",
    "allow_egress",
    "sampled",
]


class Agent:
    """The loaded object. `close()` frees all of it."""

    def __init__(self, path: Path) -> None:
        self._bpf = load_libbpf()
        library = self._bpf._library
        library.bpf_program__fd.argtypes = [c_void_p]
        image = path.read_bytes()
        options = OpenOptions(ctypes.sizeof(OpenOptions), b"agent")
        self._object = self._bpf.pointer("bpf_object__open_mem", image, len(image), ctypes.byref(options))
        self._links: list[int] = []
        try:
            self._bpf.call("bpf_object__load", self._object)
        except LibbpfError as error:
            raise RuntimeError("\n".join(error.log)) from None
        self.maps = {name: self._map(name) for name in MAPS}
        self.programs = {name: int(library.bpf_program__fd(self._program(name))) for name in PROGRAMS}
        self.links: dict[str, int] = {}
        for name in ATTACHED:
            call = "bpf_program__attach_iter" if name == "each_task" else "bpf_program__attach"
            arguments = (self._program(name), None) if name == "each_task" else (self._program(name),)
            link = self._bpf.pointer(call, *arguments)
            self._links.append(link)
            self.links[name] = self._bpf.call("bpf_link__fd", link)

    def close(self) -> None:
        for link in self._links:
            self._bpf.free("bpf_link__destroy", link)
        self._links = []
        if self._object:
            self._bpf.free("bpf_object__close", self._object)
        self._object = 0

    def _program(self, name: str) -> int:
        return self._bpf.pointer("bpf_object__find_program_by_name", self._object, name.encode())

    def _map(self, name: str) -> int:
        found = self._bpf.pointer("bpf_object__find_map_by_name", self._object, name.encode())
        return self._bpf.call("bpf_map__fd", found)


def main() -> None:
    agent = Agent(Path(sys.argv[1]))
    print(json.dumps({"maps": agent.maps, "programs": agent.programs, "links": agent.links}), flush=True)
    sys.stdin.read()
    agent.close()


if __name__ == "__main__":
    main()
