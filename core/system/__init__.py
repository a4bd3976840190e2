"""The host itself: its root, users, rights and distribution."""
