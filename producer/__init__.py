"""The producer: trains uci_housing, exports it in Paddle Serving's format, packs and publishes it.

It is a command, ``python -m producer --help``, and a few plain functions behind it:

    _cli      options and the sentence a person reads when one is wrong
    _loop     train, export, pack, publish, again
    _data     the training data, checked by digest
    _train    the model and its passes                      (imports paddle)
    _export   the folder that Serving loads                 (imports paddle)
    _pack     the deterministic tarball
    _manifest the donefile's content
    _publish  one small class for each kind of remote

Nothing here imports paddle before a remote has answered and the options are known to be right.
"""
