"""The clients that send requests to a server."""
