"""Runs a command under another Linux kernel: a Debian kernel package, booted in QEMU."""
