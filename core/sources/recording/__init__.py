"""Recordings: the file, the feed that writes one, the feed that replays one."""
