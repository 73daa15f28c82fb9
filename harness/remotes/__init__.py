"""Remotes: where releases are published, and how to break them on purpose.

``registry`` lists them. ``base.Remote`` is what every remote can do. A remote's folder holds:

    remote.py     its name, what the producer and a monitor need to know of it, its probe
    local.py      how it runs as local processes
    container.py  how it runs in containers
"""
