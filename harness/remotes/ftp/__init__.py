"""The remote FTP, as a local server and in a container."""
