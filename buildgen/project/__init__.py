"""The inputs of a build: ebpf.toml, compiler flags, the toolchain, vmlinux.h."""
