"""From C sources to inspected eBPF objects. Of core it imports only core.text and core.host."""
