"""What the Build screen and `ebpf-tui build` share: targets, queue, history, rebuild on save."""
