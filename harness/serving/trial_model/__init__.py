"""The small model of a trial: two releases with one graph, as `python -m producer` exports them.

``release-1/`` is a whole model. ``release-2/`` holds only the parameters, which differ. ``client/``
has the clients' prototxt. ``expected.json`` has one feed and each release's answer. ``python -m
harness.serving.trial_model`` makes all of them again.
"""
