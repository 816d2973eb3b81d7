"""Makes a local model as the embedded one was made.

    pip install onnx onnxruntime scipy
    python tools/make_model.py TEACHER WORDNET MASC TARGET

TEACHER is the folder of sentence-transformers/all-MiniLM-L6-v2, WORDNET the folder `dict` of
WordNet 3.1, and MASC the archive `masc_tagged.zip` of NLTK. A run takes a few hours on one core,
most of them for the teacher's vectors. The texts are drawn at random, so the weights differ from
those of the embedded model, and their vectors belong to another space.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse
from teacher import Teacher, Vectors
from tokenizers import Tokenizer
from training_texts import make_texts

FORMER = Path(__file__).resolve().parents[1] / "service/embedding/former_model"
DIMENSIONS = 256
UNKNOWN_ID = 1

# The pull of the regression towards the teacher's vectors of single tokens, and its iterations.
# A weaker pull fits rare tokens to single texts, and a stronger one loses what the texts say.
RIDGE = 0.03
ITERATIONS = 15

# The weight of a token is SMOOTHING / (SMOOTHING + its probability), by Zipf's law.
SMOOTHING = 1e-4

# The few larger values are clipped, so that all others have finer steps.
CLIPPED_PERCENTILE = 99.999


def main(teacher_folder: Path, wordnet: Path, masc: Path, target: Path) -> None:
    """Write the model's files, without license and card, into the folder `target`."""
    tokenizer = json.loads((FORMER / "tokenizer.json").read_text())
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    teacher = Teacher(teacher_folder)
    texts = make_texts(wordnet, masc)
    targets = teacher.embed(texts)
    components = find_components(targets)
    counts = count_tokens(tokenizer, texts)
    probabilities = 1 / np.arange(2, len(tokens) + 2)
    weights = SMOOTHING / (SMOOTHING + probabilities / probabilities.sum())
    start = teacher.embed_tokens(tokens) @ components * weights[:, None]
    learned = regress(counts, normalize(targets @ components), start.astype(np.float32))
    former = load_file(FORMER / "model.safetensors")["embeddings"].astype(np.float32)
    former -= np.asarray(counts.mean(axis=0)).ravel() @ former
    joined = np.hstack([part / measure_length(counts @ part) for part in (former, learned)])
    vectors = joined @ find_components(normalize(counts @ joined))
    marks = [vocabulary[mark] for mark in string.punctuation if mark in vocabulary]
    vectors[marks] = (vectors[vocabulary["."]] + vectors[vocabulary[","]]) / 2
    write(vectors, target)


def count_tokens(tokenizer: dict[str, Any], texts: Sequence[str]) -> Any:  # noqa: ANN401  (sparse)
    """Return each token's share of each text, sparse float32 [texts, tokens]."""
    plain = Tokenizer.from_str(json.dumps({**tokenizer, "padding": None, "truncation": None}))
    rows = [
        [token for token in encoding.ids if token != UNKNOWN_ID]
        for encoding in plain.encode_batch(list(texts), add_special_tokens=False)
    ]
    lengths = np.array([len(row) for row in rows])
    shares = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    shape = len(texts), len(tokenizer["model"]["vocab"])
    counts = sparse.csr_matrix((shares, np.concatenate(rows).astype(np.int32), starts), shape=shape)
    counts.sum_duplicates()
    return counts


def find_components(vectors: Vectors) -> Vectors:
    """Return the main components around the origin, float32 [width, DIMENSIONS]."""
    _, components = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    main_components: Vectors = components[:, ::-1][:, :DIMENSIONS].astype(np.float32)
    return main_components


def regress(counts: Any, targets: Vectors, start: Vectors) -> Vectors:  # noqa: ANN401  (sparse)
    """Return token vectors near `start` whose means are near the targets.

    Solves the ridge regression by conjugate gradients.
    """
    means = counts @ start
    start = start * ((means * targets).sum() / (means * means).sum())
    transposed = counts.T.tocsr()
    squares = np.asarray(counts.multiply(counts).sum(axis=0)).ravel()
    scale = (1 / (squares + RIDGE)).astype(np.float32)[:, None]
    residual = transposed @ (targets - counts @ start)
    change = np.zeros_like(start)
    direction = scale * residual
    product = (residual * direction).sum(axis=0)
    for _ in range(ITERATIONS):
        image = transposed @ (counts @ direction) + RIDGE * direction
        step = product / np.maximum((direction * image).sum(axis=0), 1e-20)
        change += step * direction
        residual -= step * image
        scaled = scale * residual
        following = (residual * scaled).sum(axis=0)
        direction = scaled + following / np.maximum(product, 1e-20) * direction
        product = following
    regressed: Vectors = start + change
    return regressed


def normalize(vectors: Vectors) -> Vectors:
    """Return vectors of unit length; a vector of 0 stays."""
    units: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return units


def measure_length(vectors: Vectors) -> float:
    """Return the mean length of vectors."""
    return float(np.linalg.norm(vectors, axis=1).mean())


def write(vectors: Vectors, target: Path) -> None:
    """Write the model with int8 vectors, and print the checksum for its card."""
    step = np.percentile(np.abs(vectors), CLIPPED_PERCENTILE) / 127
    rounded = np.clip(np.rint(vectors / step), -127, 127).astype(np.int8)
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "modules.json"):
        shutil.copy(FORMER / name, target)
    config = json.loads((FORMER / "config.json").read_text())
    former_steps = ("apply_pca", "sif_coefficient")
    config = {name: value for name, value in config.items() if name not in former_steps}
    (target / "config.json").write_text(json.dumps(config, indent=2))
    weights = target / "model.safetensors"
    save_file({"embeddings": rounded}, weights)
    print(f"model.safetensors has sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
