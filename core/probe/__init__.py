"""The kernel tier: the probe's C, its record layout, the libbpf binding, load, attach and poll."""
