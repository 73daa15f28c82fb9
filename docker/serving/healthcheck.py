"""Asks the server for a prediction, as a client does, with zeros for every feed of the model.

SERVING_MODEL (uci_housing_model) is the live directory's name, SERVING_PORT (9292) the port.
"""

import json
import os
import re
import urllib.request

FLOATS, INTEGERS = "float_data", "int_data"
# feed_type in serving_server_conf.prototxt: the tensor's element type, and where its values go.
KINDS = {0: "int64_data", 1: FLOATS, 2: INTEGERS}


def feeds(text: str) -> "list[dict[str, object]]":
    """The tensors of a request, from the model's configuration."""
    tensors = []
    for block in re.findall(r"feed_var\s*\{([^}]*)\}", text):
        name = re.search(r'\bname:\s*"([^"]*)"', block)
        alias = re.search(r'alias_name:\s*"([^"]*)"', block)
        kind = re.search(r"feed_type:\s*(\d+)", block)
        shape = [max(1, int(n)) for n in re.findall(r"shape:\s*(-?\d+)", block)]
        assert name is not None, block
        assert alias is not None, block
        count = 1
        for extent in shape:
            count *= extent
        element = int(kind.group(1)) if kind else 0
        tensors.append(
            {
                "name": name.group(1),
                "alias_name": alias.group(1),
                "elem_type": element,
                # A batch of one comes first; the configuration leaves it out.
                "shape": [1, *shape],
                KINDS[element]: [0] * count,
            }
        )
    return tensors


def main() -> None:
    model = os.environ.get("SERVING_MODEL", "uci_housing_model")
    port = os.environ.get("SERVING_PORT", "9292")
    with open(f"/serving/{model}/serving_server_conf.prototxt") as file:
        body = json.dumps({"tensor": feeds(file.read())}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/GeneralModelService/inference",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=8) as answer:
        outputs = json.load(answer)["outputs"]
    assert outputs[0]["tensor"], outputs


if __name__ == "__main__":
    main()
