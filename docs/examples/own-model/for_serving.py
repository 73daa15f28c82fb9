"""Turn a model that Paddle 2.5 or 2.6 saved into the folder that Paddle Serving loads.

    python for_serving.py MODEL FOLDER

MODEL is the path that you gave to `paddle.jit.save` or `paddle.static.save_inference_model`: the
files are MODEL.pdmodel and MODEL.pdiparams. FOLDER must not exist.
"""

import shutil
import sys
from pathlib import Path

import paddle
from google.protobuf import text_format
from paddle_serving_server.proto import general_model_config_pb2

# Paddle Serving's numbers for types (general_model_config.proto).
TYPES = ("int64", "float32", "int32", "float64", "int16", "float16", "bfloat16", "uint8", "int8")

model, folder = sys.argv[1], Path(sys.argv[2])
paddle.enable_static()
program, feeds, fetches = paddle.static.load_inference_model(
    model, paddle.static.Executor(paddle.CPUPlace())
)
configuration = general_model_config_pb2.GeneralModelConfig()
for name in feeds:
    feed = program.global_block().var(name)
    number = TYPES.index(str(feed.dtype).rpartition(".")[2])
    # Without the batch dimension.
    shape = [size for size in feed.shape if size >= 0]
    configuration.feed_var.add(name=name, alias_name=name, feed_type=number, shape=shape)
for fetch in fetches:
    number = TYPES.index(str(fetch.dtype).rpartition(".")[2])
    shape = [size for size in fetch.shape if size >= 0]
    configuration.fetch_var.add(
        name=fetch.name, alias_name=fetch.name, fetch_type=number, shape=shape
    )
folder.mkdir(parents=True)
shutil.copyfile(model + ".pdmodel", folder / "model.pdmodel")
shutil.copyfile(model + ".pdiparams", folder / "model.pdiparams")
(folder / "serving_server_conf.prototxt").write_text(text_format.MessageToString(configuration))
(folder / "serving_server_conf.stream.prototxt").write_bytes(configuration.SerializeToString())
