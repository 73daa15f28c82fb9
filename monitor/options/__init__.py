"""The options: command line, configuration file, secrets."""
