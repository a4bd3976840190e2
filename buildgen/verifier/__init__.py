"""From the verifier's log to a verdict, its cause, what to change, and the way back to where it began."""
