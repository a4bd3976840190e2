"""Running ninja: its workspace, its output, what edges read and how long they took."""
