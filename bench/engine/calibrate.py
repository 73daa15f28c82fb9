"""How often a second this machine parses the JSON request and runs the model, without a server.

python bench/engine/calibrate.py MODEL SECONDS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import orjson

from engine import _inference


def main() -> int:
    model, seconds = Path(sys.argv[1]), float(sys.argv[2])
    library = _inference.library()
    config = library.AnalysisConfig(str(model / "model.pdmodel"), str(model / "params.pdiparams"))
    config.disable_gpu()
    config.disable_glog_info()
    config.switch_ir_optim(False)
    config.set_cpu_math_library_num_threads(1)
    predictor = library.create_predictor(config)
    feed = predictor.get_input_handle(predictor.get_input_names()[0])
    fetch = predictor.get_output_handle(predictor.get_output_names()[0])
    body = orjson.dumps({"tensor": [{"float_data": [1.0] * 13, "shape": [1, 13], "name": "x"}]})
    count = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(200):
            data = orjson.loads(body)["tensor"][0]["float_data"]
            feed._copy_from_cpu_bind(np.array(data, "float32").reshape(1, 13))
            predictor.run()
            fetch.copy_to_cpu()
        count += 200
    print(f"{count / (time.perf_counter() - start):.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
