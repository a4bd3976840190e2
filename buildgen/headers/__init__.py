"""Kernel header directories: candidates, verdicts, and the chosen one."""
