"""`ebpf-tui serve`: the screens in a browser on this machine. Needs the extra `serve`."""
