"""A serving backend of one's own: backend=custom backend._target_=my_backend.NumpyBackend uses it.

This one runs the exported graph in NumPy, by ONNX's reference implementation; yours calls a runtime
of your own. Behind a server: backend=http backend.http.runtime=my_backend.NumpyBackend.
"""

from typing import ClassVar

import onnx
from onnx.reference import ReferenceEvaluator

from bench.serving.backend import Backend


class NumpyBackend(Backend):
    name = "numpy"
    kind = "onnx"  # opens a model.onnx; "torch" would be a model.pt
    devices = ("cpu",)
    precisions = ("none",)  # any compression is refused: it would be computed in float32
    libraries: ClassVar = {"onnx": "serving", "onnxscript": "serving"}

    def version(self):
        return f"onnx {onnx.__version__}"

    def open(self, artifact):
        self.require_file(artifact)
        self.graph = ReferenceEvaluator(str(artifact.path))
        self.precision = "float32"

    def predict(self, images):
        """Logits (n, num_classes) of images (n, c, h, w)."""
        return self.graph.run(None, {"images": images})[0]

    def close(self):
        self.graph = None
