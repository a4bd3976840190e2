"""The kernel tier: the probe's C, its record layout, the libbpf binding, and the loader."""
