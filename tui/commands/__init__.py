"""One file per subcommand. Importing one must not import textual: `--json` has to start fast."""
