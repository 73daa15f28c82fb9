r"""Starts a Paddle Serving server through the launcher's Python API.

    python -m harness.serving.launcher --model uci_housing_model --thread 10 --port 9292 \
        --reload_interval_s 1

For the options below it is the same as ``python -m paddle_serving_server.serve``. It adds
``--reload_interval_s``, which has no flag there: how often the server looks at ``fluid_time_file``
(``Server.set_reload_interval``, whole seconds). It lacks the launcher's other options (``--op``,
``--device``, ``--use_trt``, …) and its commands ``stop``, ``kill`` and ``check``. The launcher's
``stop`` also ends a server that this module has started. The launcher chooses the binary:
``SERVING_BIN``, else its download.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The options; names, defaults and ranges are those of ``paddle_serving_server.serve``."""
    options = argparse.ArgumentParser(prog="python -m harness.serving.launcher")
    options.add_argument("--model", required=True, nargs="+", help="folder of the model to serve")
    options.add_argument("--thread", type=int, default=4, help="threads of the server, 4 to 1024")
    options.add_argument("--port", type=int, default=9393, help="TCP port")
    options.add_argument("--workdir", default="workdir", help="prefix of the generated folder")
    options.add_argument(
        "--reload_interval_s", type=int, default=10, help="seconds between two reload checks"
    )
    options.add_argument("--gpu_ids", nargs="+", default="", help="GPUs; none: the CPU")
    options.add_argument("--precision", default="fp32", help="fp32, fp16, bf16 or int8")
    options.add_argument("--use_mkl", action="store_true", help="use MKL-DNN")
    options.add_argument("--ir_optim", action="store_true", help="optimise the graph")
    options.add_argument("--mem_optim_off", action="store_true", help="no memory optimisation")
    options.add_argument("--max_body_size", type=int, default=512 * 1024 * 1024, help="bytes")
    options.add_argument("--enable_prometheus", action="store_true", help="serve metrics")
    options.add_argument("--prometheus_port", type=int, default=19393, help="their port")
    options.add_argument("--request_cache_size", type=int, default=0, help="bytes; 0: no cache")
    return options


def main(argv: list[str] | None = None) -> int:
    """Runs until the server ends. Exit code 2 for a wrong option, 1 when it cannot serve."""
    args = parser().parse_args(argv)
    if not 4 <= args.thread <= 1024:
        print(f"--thread must be 4 to 1024 (the launcher's own range), not {args.thread}")
        return 2
    if args.reload_interval_s < 1:
        print("--reload_interval_s must be at least 1: the server compares whole seconds")
        return 2
    for folder in args.model:
        if not (Path(folder) / "serving_server_conf.prototxt").is_file():
            print(
                f"{folder} is not a model in Serving's format (no serving_server_conf.prototxt); "
                "install a release first, for instance with `python -m monitor --once`"
            )
            return 2

    # Only now, because the import takes half a second.
    from paddle_serving_server import OpMaker, OpSeqMaker, Server
    from paddle_serving_server.serve import is_gpu_mode
    from paddle_serving_server.util import dump_pid_file

    operators = OpMaker()
    sequence = OpSeqMaker()
    for kind in ("GeneralReaderOp", *("GeneralInferOp" for _ in args.model), "GeneralResponseOp"):
        sequence.add_op(operators.create(kind))

    server = Server()
    server.set_op_sequence(sequence.get_op_sequence())
    server.set_num_threads(args.thread)
    server.set_reload_interval(args.reload_interval_s)
    server.use_mkl(args.use_mkl)
    server.set_precision(args.precision)
    server.set_memory_optimize(not args.mem_optim_off)
    server.set_ir_optimize(args.ir_optim)
    server.set_max_body_size(args.max_body_size)
    server.set_enable_prometheus(args.enable_prometheus)
    server.set_prometheus_port(args.prometheus_port)
    server.set_request_cache_size(args.request_cache_size)
    device = "gpu" if is_gpu_mode(args.gpu_ids) else "cpu"
    server.set_device(device)
    if device == "gpu":
        server.set_gpuid(args.gpu_ids)
    if server.port_is_available(args.port):
        # `python -m paddle_serving_server.serve stop` finds the server by this file.
        dump_pid_file([args.port], args.model)
    server.load_model_config(args.model)
    server.prepare_server(workdir=f"{args.workdir}_{args.port}", port=args.port, device=device)
    server.run_server()
    return 0


if __name__ == "__main__":
    sys.exit(main())
