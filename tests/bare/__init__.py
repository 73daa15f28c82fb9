"""The trial on bare machines: the README's two commands as a new user meets them.

    make test-bare                      (as root; about 15 minutes a machine)
    .venv/bin/python -m tests.bare --roots bookworm --commands 'make e2e'

Each machine is a minimal Debian or Ubuntu with the packages that the README names and nothing
else, an ordinary user, an empty environment and a clean clone of this checkout's last commit. It
runs in a mount and a process namespace of its own and uses this machine's network. It needs no
Docker. ``docs/testing.md`` is the guide.
"""
