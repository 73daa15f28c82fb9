"""The producer: trains uci_housing, exports it in Paddle Serving's format, packs and publishes it.

It is a command, ``python -m producer --help``, and a few plain functions behind it:

    cli       options, and the sentence for people if one is wrong
    loop      train, export, pack, publish, again
    dataset   the training data, checked by digest
    train     the model and its passes                      (imports paddle)
    export    the folder that Serving loads                 (imports paddle)
    pack      the deterministic tarball
    manifest  the donefile's content
    publish   one small class for each kind of remote

Further commands are ``producer.probe``, ``producer.trial_load`` and ``producer.trial_gpu``.

Nothing here imports paddle before a remote has answered and the options are known to be right.
"""

__version__ = "0.1.0"
