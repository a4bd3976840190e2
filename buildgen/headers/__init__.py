"""Kernel header directories: candidates, verdicts, and the one that is chosen."""
