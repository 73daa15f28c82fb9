"""The trial on bare machines: runs the README's two commands as a new user would.

    make test-bare                      (as root)
    .venv/bin/python -m tests.bare --roots bookworm --commands 'make e2e'

Each machine is a minimal Debian or Ubuntu that has only the packages of the README. It has an
ordinary user, an empty environment and a clone of this checkout's last commit. It runs in its own
mount and process namespace and uses this machine's network. It needs no Docker. ``docs/testing.md``
is the guide.
"""
