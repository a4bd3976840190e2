"""The terminal in front of us: what it can do, how it is drawn to, and how it is left."""
