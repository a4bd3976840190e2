"""The host: its root directory, users, rights and distribution."""
