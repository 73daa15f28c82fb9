"""Makes a bare Debian ready for containers: ``python -m docker.bootstrap``."""
