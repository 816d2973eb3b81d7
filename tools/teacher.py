"""The teacher of the local model: all-MiniLM-L6-v2, as an ONNX graph built from its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

LAYERS, HEADS, WIDTH = 6, 12, 384

# Longer texts are truncated; the teacher was trained with as many tokens.
MAX_TOKENS = 128

Vectors = npt.NDArray[np.float32]


class Teacher:
    """Embeds texts as unit vectors of 384 dimensions.

    Args:
        folder: has `model.safetensors` and `tokenizer.json`.

    Raises:
        SystemExit: it has other weights.
    """

    def __init__(self, folder: Path) -> None:
        weights = folder / "model.safetensors"
        if hashlib.sha256(weights.read_bytes()).hexdigest() != SHA256:
            raise SystemExit(f"{folder} does not have the weights of all-MiniLM-L6-v2")
        model = _Graph(load_file(weights)).build()
        self._session = onnxruntime.InferenceSession(model.SerializeToString())
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, float32 [texts, 384]."""
        return self._run([encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))])

    def embed_tokens(self, tokens: Sequence[str]) -> Vectors:
        """Return the vectors of single tokens, float32 [tokens, 384]; 0 for unknown ones."""
        start, end = self._tokenizer.encode("").ids
        ids = [self._tokenizer.token_to_id(token) for token in tokens]
        vectors = self._run([[start, token or 0, end] for token in ids])
        vectors[[token is None for token in ids]] = 0
        return vectors

    def _run(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        vectors = np.empty((len(sequences), WIDTH), np.float32)
        order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
        for first in range(0, len(order), 64):
            batch = order[first : first + 64]
            ids = np.zeros((len(batch), len(sequences[batch[-1]])), np.int64)
            mask = np.zeros_like(ids)
            for row, index in enumerate(batch):
                ids[row, : len(sequences[index])] = sequences[index]
                mask[row, : len(sequences[index])] = 1
            (vectors[batch],) = self._session.run(None, {"ids": ids, "mask": mask})
        return vectors


class _Graph:
    """Builds the graph from token ids and mask to the mean of the tokens' vectors."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def build(self) -> Any:  # noqa: ANN401  (onnx has no type hints)
        """Return the model, with the inputs `ids` and `mask` and the output `vectors`."""
        mask = self._add("Cast", "mask", to=TensorProto.FLOAT)
        bias = self._add("Sub", self._add("Unsqueeze", mask, self._ints(1, 2)), self._number(1.0))
        bias = self._add("Mul", bias, self._number(1e9))
        states = self._embed()
        for layer in range(LAYERS):
            states = self._add_layer(states, bias, f"encoder.layer.{layer}.")
        column = self._add("Unsqueeze", mask, self._ints(2))
        total = self._add("ReduceSum", self._add("Mul", states, column), self._ints(1), keepdims=0)
        count = self._add("ReduceSum", column, self._ints(1), keepdims=0)
        mean = self._add("Div", total, count)
        self._nodes.append(helper.make_node("LpNormalization", [mean], ["vectors"], axis=1, p=2))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
            for name in ("ids", "mask")
        ]
        shape = ["texts", WIDTH]
        outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "minilm", inputs, outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        model.ir_version = 10
        return model

    def _embed(self) -> str:
        words = self._constant(self._weights["embeddings.word_embeddings.weight"])
        places = self._weights["embeddings.position_embeddings.weight"]
        places = self._constant(
            places + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        length = self._add("Gather", self._add("Shape", "ids"), self._ints(1))
        places = self._add("Slice", places, self._ints(0), length, self._ints(0))
        states = self._add("Add", self._add("Gather", words, "ids"), places)
        return self._normalize(states, "embeddings.LayerNorm")

    def _add_layer(self, states: str, bias: str, name: str) -> str:
        heads = {}
        for part, order in (
            ("query", (0, 2, 1, 3)),
            ("key", (0, 2, 3, 1)),
            ("value", (0, 2, 1, 3)),
        ):
            projected = self._multiply(states, f"{name}attention.self.{part}")
            shaped = self._add("Reshape", projected, self._ints(0, 0, HEADS, WIDTH // HEADS))
            heads[part] = self._add("Transpose", shaped, perm=order)
        products = self._add("MatMul", heads["query"], heads["key"])
        scaled = self._add("Mul", products, self._number((WIDTH // HEADS) ** -0.5))
        shares = self._add("Softmax", self._add("Add", scaled, bias), axis=-1)
        mixed = self._add(
            "Transpose", self._add("MatMul", shares, heads["value"]), perm=(0, 2, 1, 3)
        )
        mixed = self._add("Reshape", mixed, self._ints(0, 0, WIDTH))
        attended = self._multiply(mixed, f"{name}attention.output.dense")
        attended = self._add("Add", attended, states)
        states = self._normalize(attended, f"{name}attention.output.LayerNorm")
        inner = self._add("Gelu", self._multiply(states, f"{name}intermediate.dense"))
        outer = self._add("Add", self._multiply(inner, f"{name}output.dense"), states)
        return self._normalize(outer, f"{name}output.LayerNorm")

    def _multiply(self, states: str, name: str) -> str:
        matrix = self._constant(self._weights[f"{name}.weight"].T)
        product = self._add("MatMul", states, matrix)
        return self._add("Add", product, self._constant(self._weights[f"{name}.bias"]))

    def _normalize(self, states: str, name: str) -> str:
        scale, bias = (
            self._constant(self._weights[f"{name}.{part}"]) for part in ("weight", "bias")
        )
        return self._add("LayerNormalization", states, scale, bias, axis=-1, epsilon=1e-12)

    def _ints(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _number(self, value: float) -> str:
        return self._constant(np.float32(value))

    def _constant(self, values: Any) -> str:  # noqa: ANN401  (an array of any type)
        name = f"constant_{len(self._constants)}"
        self._constants.append(
            numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name)
        )
        return name

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name
