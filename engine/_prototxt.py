"""Reads the prototxt files that the launcher writes, and decides what to serve.

``read`` returns one ``Serving`` with everything that the engine needs: port, workflow, the model,
its time file, its feeds and fetches. It refuses with one sentence what cannot be served.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from . import _messages
from ._flags import Flags

SERVICE = "GeneralModelService"
_STEPS = ("GeneralReaderOp", "GeneralInferOp", "GeneralResponseOp")
_PRECISIONS = ("fp32", "fp16", "bf16", "int8")
# Fields of the configuration for features that this engine lacks, and the launcher's options.
_ELSEWHERE = {
    "use_lite": "--use_lite",
    "use_xpu": "--use_xpu",
    "use_ascend_cl": "--use_ascend_cl",
    "use_trt": "--use_trt",
    "gpu_multi_stream": "--gpu_multi_stream",
    "enable_dist_model": "--use_dist_model",
}


class Refused(Exception):
    """One sentence: what cannot be served, why, and what to do."""


@dataclass(frozen=True)
class Variable:
    """A feed or a fetch, as general_model.prototxt has it.

    ``elem_type`` is Serving's number (0 int64, 1 float32, 2 int32, …); ``shape`` is without the
    batch dimension.
    """

    # The graph's name.
    name: str
    # The clients' name.
    alias: str
    elem_type: int
    shape: tuple[int, ...]
    # Whether its rows have lengths of their own.
    is_lod: bool


@dataclass(frozen=True)
class Serving:
    """What the engine serves."""

    # The port for all protocols.
    port: int
    # The services' names.
    services: tuple[str, ...]
    # The name of the only workflow.
    workflow_name: str
    # The file that defines the workflow.
    workflow_file: str
    # The names of the workflow's steps.
    nodes: tuple[str, ...]
    # The model's name in the log.
    engine_name: str
    # The live directory.
    model_dir: str
    # The file whose mtime announces a new model.
    time_file: str
    # What a request holds.
    feeds: tuple[Variable, ...]
    # What an answer may hold.
    fetches: tuple[Variable, ...]
    # Whether the model runs on a GPU.
    use_gpu: bool
    # The GPU's number; -1 for the CPU.
    gpu_id: int
    # Whether Paddle optimises the graph (`--ir_optim`).
    ir_optim: bool
    # Whether Paddle reuses memory (`--mem_optim`).
    memory_optim: bool


def read(flags: Flags) -> Serving:
    """Read the files that the flags name. Raises ``Refused``."""
    workflow_file = f"{flags.text('workflow_path')}/{flags.text('workflow_file')}"
    service = _message(
        f"{flags.text('inferservice_path')}/{flags.text('inferservice_file')}",
        "server_configure_pb2",
        "InferServiceConf",
    )
    workflows = _message(workflow_file, "server_configure_pb2", "WorkflowConf").workflows
    resource_file = f"{flags.text('resource_path')}/{flags.text('resource_file')}"
    resource = _message(resource_file, "server_configure_pb2", "ResourceConf")
    toolkits = [
        _message(f"{folder}/{name}", "server_configure_pb2", "ModelToolkitConf")
        for folder, name in zip(resource.model_toolkit_path, resource.model_toolkit_file)
    ]
    models = [
        _message(f"{folder}/{name}", "general_model_config_pb2", "GeneralModelConfig")
        for folder, name in zip(resource.general_model_path, resource.general_model_file)
    ]
    engines = [engine for toolkit in toolkits for engine in toolkit.engines]
    if len(engines) > 1:
        directories = ", ".join(engine.model_dir for engine in engines)
        raise Refused(
            f"{len(engines)} models in sequence ({directories}) are asked for, but the embedded "
            "engine serves one; give --model one directory, or use the official binary"
        )
    if not engines or not models:
        raise Refused(f"{resource_file} names no model; let the launcher write it with --model")
    if len(workflows) != 1:
        raise Refused(
            f"{workflow_file} holds {len(workflows)} workflows, but the embedded engine runs "
            "one; let the launcher write it with one --model"
        )
    steps = tuple(node.type for node in workflows[0].nodes)
    if steps != _STEPS:
        raise Refused(
            f"{workflow_file} asks for the steps {', '.join(steps) or 'none'}, but the embedded "
            f"engine knows {', '.join(_STEPS)} in this order; use the official binary"
        )
    engine, model = engines[0], models[0]
    if engine.encrypted_model:
        raise Refused(
            f"the model in {engine.model_dir} is encrypted, which the embedded engine cannot "
            "read; use the official binary"
        )
    _refuse_what_runs_elsewhere(engine, flags)
    gpu_ids = list(engine.gpu_ids)
    return Serving(
        port=service.port,
        services=tuple(one.name for one in service.services),
        workflow_name=workflows[0].name,
        workflow_file=workflow_file,
        nodes=tuple(node.name for node in workflows[0].nodes),
        engine_name=engine.name,
        model_dir=engine.model_dir,
        time_file=engine.reloadable_meta,
        feeds=_variables(model.feed_var, "feed_type"),
        fetches=_variables(model.fetch_var, "fetch_type"),
        use_gpu=bool(engine.use_gpu and gpu_ids and gpu_ids[0] >= 0),
        gpu_id=gpu_ids[0] if gpu_ids else -1,
        ir_optim=engine.enable_ir_optimization,
        memory_optim=engine.enable_memory_optimization,
    )


def _refuse_what_runs_elsewhere(engine: Any, flags: Flags) -> None:
    for field, option in _ELSEWHERE.items():
        if getattr(engine, field):
            raise Refused(
                f"{option} asks for what the embedded engine does not have: it runs the model "
                "with Paddle Inference on the CPU or on one GPU; leave it out, or use the "
                "official binary"
            )
    if len(engine.gpu_ids) > 1:
        ids = ",".join(map(str, engine.gpu_ids))
        raise Refused(
            f"--gpu_ids {ids} asks for {len(engine.gpu_ids)} GPUs, but the embedded engine uses "
            "one; give one number, or use the official binary"
        )
    if flags.on("enable_prometheus"):
        raise Refused(
            "--enable_prometheus asks for metrics, which the embedded engine does not have; "
            "leave it out, or use the official binary"
        )
    if flags.text("precision") not in _PRECISIONS:
        raise Refused(
            f"--precision {flags.text('precision')} is no precision of Paddle Serving; "
            f"give {', '.join(_PRECISIONS[:-1])} or {_PRECISIONS[-1]}"
        )


def _variables(variables: Any, kind: str) -> tuple[Variable, ...]:
    return tuple(
        Variable(
            name=one.name,
            alias=one.alias_name,
            elem_type=getattr(one, kind),
            shape=tuple(one.shape),
            is_lod=one.is_lod_tensor,
        )
        for one in variables
    )


def _message(path: str, module: str, name: str) -> Any:
    message = getattr(_messages.module(module), name)()
    try:
        text_format.Parse(Path(path).read_text(), message)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(
            f"cannot read {path}: {reason}; start the launcher, which writes it"
        ) from None
    except text_format.ParseError as error:
        raise Refused(f"{path} is no {name}: {error}; let the launcher write it again") from None
    return message
