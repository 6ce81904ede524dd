"""A serving backend of your own: backend=custom backend._target_=my_backend.NumpyBackend uses it.

This one runs the exported graph in NumPy, with ONNX's reference implementation; yours would call
your own runtime. Behind a server: backend=http backend.http.runtime=my_backend.NumpyBackend.
"""

from typing import ClassVar

import onnx
from onnx.reference import ReferenceEvaluator

from bench.serving.backend import Backend


class NumpyBackend(Backend):
    name = "numpy"
    kind = "onnx"  # opens a model.onnx; "torch" would be a model.pt
    devices = ("cpu",)
    precisions = ("none",)  # compression is refused, because it would compute in float32 anyway
    libraries: ClassVar = {"onnx": "serving", "onnxscript": "serving"}

    def version(self):
        return f"onnx {onnx.__version__}"

    def open(self, artifact):
        self.require_file(artifact)
        self.graph = ReferenceEvaluator(str(artifact.path))
        self.precision = "float32"

    def predict(self, inputs):
        """Outputs (n, ...) of inputs (n, ...), such as logits of images."""
        return self.graph.run(None, {"inputs": inputs})[0]

    def close(self):
        self.graph = None
