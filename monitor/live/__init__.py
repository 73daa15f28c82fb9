"""Everything about the live directory.

``layout`` has every name that the monitor writes, ``state`` what it remembers. A release becomes
live in ``replace``; ``recovery`` finishes or undoes what a kill cut off.
"""
