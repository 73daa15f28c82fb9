"""What remotes and servers in containers have in common: the engine, images, Compose projects.

``python -m harness containers`` is the command line.
"""
