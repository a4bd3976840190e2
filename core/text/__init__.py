"""Bytes from outside as text that is safe to show, without secrets, in readable units."""
