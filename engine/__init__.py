"""The embedded engine: a stand-in for the one file ``serving`` of Paddle Serving 0.9.0.

An executable that the real launcher starts through ``SERVING_BIN``. It reads the launcher's flags
and prototxt files, and loads the model with Paddle Inference. It answers four protocols on one
port, writes the same log, and reloads by the same rules. README.md says where it differs.

A request passes through the modules like this:

    socket ─▶ _connection ─▶ _stream (_baidu_std, _http1) or _http2   bytes into messages
           ─▶ _codec_json or _codec_protobuf                          message into Query
           ─▶ _batcher ─▶ _model                                      Query into Answer
           ─▶ _replies ─▶ _connection ─▶ socket                       Answer into bytes

Beside it ``_reload`` watches the time file, and ``_loading`` loads a new model. ``_engine`` holds
all of them together.
"""

__version__ = "0.1.0"
