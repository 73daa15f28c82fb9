"""The remote HTTP, as a local server and in a container."""
