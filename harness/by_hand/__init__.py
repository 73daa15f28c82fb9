"""A run by hand: its parts stay up between commands, so that one can try each step alone.

``supervisor`` is a process that holds the parts of a leg. ``place`` is the run's folder, with the
socket over which commands ask the supervisor. ``view`` says what the history shows so far.
``screen`` and ``plain`` show the main job while it runs.
"""
