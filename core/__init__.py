"""What runs on this host, and how we know. Never imports textual, never imports buildgen."""
