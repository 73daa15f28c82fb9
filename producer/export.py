"""Exports the trained network as the folder that Paddle Serving loads.

Upstream's exporter (``paddle_serving_client.io``) needs ``paddle.fluid``, which Paddle dropped
after 2.4, so this one writes the same files with ``paddle.static``:

    MODEL/model.pdmodel  MODEL/params.pdiparams
    MODEL/serving_server_conf.prototxt  MODEL/serving_server_conf.stream.prototxt
    CLIENT/serving_client_conf.prototxt  CLIENT/serving_client_conf.stream.prototxt

The bytes depend on the weights alone: the export removes the call stack that Paddle records for
each operator. Imports paddle: import this module late.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import paddle
from google.protobuf import text_format
from paddle.base.proto import framework_pb2
from paddle_serving_server.proto import general_model_config_pb2

from .files import replace
from .manifest import Variable
from .predict import Predictor
from .train import Trainer

FEED_ALIAS = "x"
FETCH_ALIAS = "price"
# The codes of FeedVar.feed_type and FetchVar.fetch_type (general_model_config.proto).
_TYPE_CODES = {"int64": 0, "float32": 1, "int32": 2}


class Exported:
    """What an export wrote: the folder and the variables, as a manifest names them."""

    def __init__(self, folder: Path, feeds: list[Variable], fetches: list[Variable]) -> None:
        self.folder = folder
        self.feeds = feeds
        self.fetches = fetches


def export(trainer: Trainer, model: Path, client: Path) -> Exported:
    """Write the server's model folder and the client's configuration; both may exist already.

    Every file is complete when it appears (written beside, then renamed).
    """
    model.mkdir(parents=True, exist_ok=True)
    client.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=model.parent) as folder:
        prefix = str(Path(folder) / "model")
        # Names start again, so that each release has the fetch save_infer_model/scale_0.tmp_0.
        with paddle.static.scope_guard(trainer.scope), paddle.utils.unique_name.guard():
            paddle.static.save_inference_model(
                prefix, [trainer.x], [trainer.price], trainer.executor, program=trainer.program
            )
        graph = _without_call_stacks(Path(prefix + ".pdmodel").read_bytes())
        parameters = Path(prefix + ".pdiparams").read_bytes()
    replace(model / "model.pdmodel", graph)
    replace(model / "params.pdiparams", parameters)

    # Paddle chooses the names, so read them from the exported model.
    loaded = Predictor(model)
    (feed_name,), (fetch_name,) = loaded.inputs, loaded.outputs
    feeds = [Variable(feed_name, FEED_ALIAS, "float32", [-1, *trainer.x.shape[1:]])]
    fetches = [Variable(fetch_name, FETCH_ALIAS, "float32", [-1, *trainer.price.shape[1:]])]
    configuration = _configuration(feeds, fetches)
    for path in (model / "serving_server_conf", client / "serving_client_conf"):
        text = text_format.MessageToString(configuration)
        replace(path.with_name(path.name + ".prototxt"), text.encode())
        replace(path.with_name(path.name + ".stream.prototxt"), configuration.SerializeToString())
    return Exported(model, feeds, fetches)


def _configuration(feeds: list[Variable], fetches: list[Variable]) -> Any:
    """Return a GeneralModelConfig. Its shapes leave the batch dimension out, as upstream's do."""
    configuration = general_model_config_pb2.GeneralModelConfig()
    for variable in feeds:
        entry = configuration.feed_var.add()
        entry.feed_type = _TYPE_CODES[variable.dtype]
        _fill(entry, variable)
    for variable in fetches:
        entry = configuration.fetch_var.add()
        entry.fetch_type = _TYPE_CODES[variable.dtype]
        _fill(entry, variable)
    return configuration


def _fill(entry: Any, variable: Variable) -> None:
    entry.name = variable.name
    entry.alias_name = variable.alias
    entry.is_lod_tensor = False
    entry.shape.extend(size for size in variable.shape if size >= 0)


def _without_call_stacks(graph: bytes) -> bytes:
    """Return the program without ``op_callstack`` (paths and lines of the exporting process)."""
    program = framework_pb2.ProgramDesc.FromString(graph)
    for block in program.blocks:
        for operator in block.ops:
            kept = [attr for attr in operator.attrs if attr.name != "op_callstack"]
            del operator.attrs[:]
            operator.attrs.extend(kept)
    # Sorted, because the order of a hash table may change.
    versions = sorted(program.op_version_map.pair, key=lambda pair: str(pair.op_name))
    del program.op_version_map.pair[:]
    program.op_version_map.pair.extend(versions)
    return bytes(program.SerializeToString(deterministic=True))
