"""Explanations of processes, containers, pods and the host, as the explain pane shows them."""
