"""The terminal: its capabilities, the output to it, and how the program leaves it."""
