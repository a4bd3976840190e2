"""From C sources to inspected eBPF objects. Of core it imports only core.text.safe and core.system.host."""
