"""Running ninja: its workspace, its output, the files that edges read and how long they take."""
