"""Recordings: the file format, the feed that writes one, and the feed that replays one."""
