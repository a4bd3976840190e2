"""What runs on this host, and how we know. Never imports textual, never imports buildgen."""

import logging

# Without --log-file nothing is logged: Python's own last resort would write into the screens.
logging.getLogger("ebpf_tui").addHandler(logging.NullHandler())
