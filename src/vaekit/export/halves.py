r"""Weights in half precision: files of half the size, computed with as before."""

__all__ = ["halve"]

from typing import Any

import numpy as np

_LEAST = 256  # numbers: below, a cast is longer than what it saves, and biases keep their digits


def halve(proto: Any) -> Any:
    r"""Store the weights of an ONNX model in half precision, with a cast back to single in the graph; return it.

    Runtimes fold the casts when they load the model, so that it runs as fast as before. Weights that half precision
    cannot hold, above 65,504, stay as they are.

    Arguments:
        proto: An `onnx.ModelProto`, which is changed.

    References:
        IEEE Standard for Floating-Point Arithmetic, IEEE 754-2008, section 3.6, binary16.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _LEAST:
            continue
        values = numpy_helper.to_array(weight)
        if not np.abs(values).max() <= np.finfo(np.float16).max:
            continue
        single, stored = weight.name, f"{weight.name}.half"
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [single], to=TensorProto.FLOAT, name=f"{single}.single"))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return proto
