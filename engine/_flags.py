"""The flags of the binary, as a table. The values on a command line are read by ``_gflags``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

Value = Union[bool, int, str]


@dataclass(frozen=True)
class Flag:
    """One flag: gflags' name of its type, the default, one line of meaning, and its file."""

    kind: str
    default: Value
    meaning: str
    file: str


_UNUSED = "read, without effect"

# By the source file of the real binary that defines them, because -help groups and -helpon and
# -helpmatch choose by it; with what they mean here. The launcher of 0.9.0 passes most of the first
# file and some of the following. People add the others by hand to the same binary. The defaults of
# the first are those of the state that has request_cache_size, as 0.9.0 does; before it, some were
# others.
_FILES: dict[str, dict[str, tuple[str, Value, str]]] = {
    "core/predictor/common/constant.cpp": {
        "enable_model_toolkit": ("bool", True, "read model_toolkit.prototxt"),
        "inferservice_path": ("string", "./conf", "folder of inferservice_file"),
        "inferservice_file": ("string", "infer_service.prototxt", "port and services"),
        "max_concurrency": ("int32", 0, "requests at once, 0: no limit"),
        "num_threads": ("int32", 0, "worker threads"),
        "port": ("int32", 8010, "read, but the port in inferservice_file counts"),
        "reload_interval_s": ("int32", 10, "seconds between two looks at the time file"),
        "resource_path": ("string", "./conf", "folder of resource_file"),
        "resource_file": ("string", "resource.prototxt", "where the model's files are named"),
        "workflow_path": ("string", "./conf", "folder of workflow_file"),
        "workflow_file": ("string", "workflow.prototxt", "the steps of a request"),
        "enable_prometheus": ("bool", False, "serve metrics on prometheus_port"),
        "prometheus_port": ("int32", 19393, "port of the metrics"),
        "request_cache_size": ("int64", 0, "bytes of answers kept for equal requests"),
        "logger_path": ("string", "./conf", _UNUSED),
        "logger_file": ("string", "log.conf", _UNUSED),
        "enable_protocol_list": ("string", "baidu_std", _UNUSED),
        "enable_cube": ("bool", False, _UNUSED),
        "idle_timeout_s": ("int32", 80, "connections on which nothing moves are closed"),
        "el_log_level": ("int32", 16, _UNUSED),
        "g_max_concurrency": ("int32", 0, _UNUSED),
    },
    "core/predictor/src/pdserving.cpp": {
        "V": ("bool", False, "print the version and end"),
    },
    "paddle_inference/paddle/src/paddle_engine.cpp": {
        "precision": ("string", "fp32", "fp32, fp16, bf16 or int8"),
        "use_calib": ("bool", False, "TensorRT calibration"),
    },
    # brpc
    "src/brpc/protocol.cpp": {
        "max_body_size": ("uint64", 64 * 1024 * 1024, "bytes of one message"),
    },
    "src/bthread/bthread.cpp": {
        "bthread_concurrency": ("int32", 9, "threads under the workers"),
    },
    # gflags itself
    "src/gflags.cc": {
        "flagfile": ("string", "", "comma-separated files to read flags from"),
        "fromenv": ("string", "", "comma-separated flags to take from FLAGS_NAME, which must be"),
        "tryfromenv": (
            "string",
            "",
            "comma-separated flags to take from FLAGS_NAME if it is there",
        ),
        "undefok": ("string", "", "comma-separated flags that may be unknown"),
    },
    "src/gflags_completions.cc": {
        "tab_completion_columns": ("int32", 80, _UNUSED),
        "tab_completion_word": ("string", "", _UNUSED),
    },
    "src/gflags_reporting.cc": {
        "help": ("bool", False, "print all flags and end"),
        "helpfull": ("bool", False, "print all flags and end"),
        "helpmatch": (
            "string",
            "",
            "print the flags of files with this text in their path and end",
        ),
        "helpon": ("string", "", "print the flags of files with this name and end"),
        "helppackage": ("bool", False, "print the flags of the main program's folder and end"),
        "helpshort": ("bool", False, "print the flags of the main program's file and end"),
        "helpxml": ("bool", False, "print all flags as XML and end"),
        "version": ("bool", False, "print the program's name and end"),
    },
    # glog
    "src/logging.cc": {
        "alsologtostderr": ("bool", False, "log to standard error as well"),
        "log_dir": ("string", "", "folder of the log files, ./log when empty"),
        "logbufsecs": ("int32", 0, "read, without effect: every line is flushed"),
        "logtostderr": ("bool", False, "log to standard error instead of files"),
        "max_log_size": ("int32", 1800, _UNUSED),
        "minloglevel": ("int32", 0, "lowest severity that is logged"),
        "stderrthreshold": ("int32", 2, "severity that is copied to standard error"),
    },
    "src/vlog_is_on.cc": {
        "v": ("int32", 0, _UNUSED),
        "vmodule": ("string", "", _UNUSED),
    },
}

FLAGS: dict[str, Flag] = {
    name: Flag(*flag, file=file) for file, flags in _FILES.items() for name, flag in flags.items()
}
