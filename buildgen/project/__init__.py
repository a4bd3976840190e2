"""What a project asks for: ebpf.toml, compiler flags, the toolchain, vmlinux.h."""
