"""The small model of a trial: two releases with one graph, as `python -m producer` exports them.

``release-1/`` is a whole model, ``release-2/`` holds what differs: the parameters. ``client/`` is
the clients' prototxt, and ``expected.json`` what each release answers to one feed. Make them again
with ``python -m harness.serving.trial_model``.
"""
