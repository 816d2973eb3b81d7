"""Makes the former local model again: distils a sentence transformer into static token vectors.

    pip install "model2vec[distill]"
    python tools/make_former_model.py TEACHER_FOLDER

The teacher is sentence-transformers/all-MiniLM-L6-v2, downloaded beforehand; its weights must have
the checksum below, or the vectors belong to another space. The model card and licence in the target
folder stay as they are.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from model2vec.distill import distill

TEACHER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TARGET = Path(__file__).resolve().parents[1] / "service/embedding/former_model"


def main(teacher: Path) -> None:
    """Distils `teacher` into the service's model folder.

    Raises:
        SystemExit: it is another teacher.
    """
    weights = (teacher / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != TEACHER_SHA256:
        raise SystemExit(f"{teacher} does not hold the weights of all-MiniLM-L6-v2")
    model = distill(model_name=str(teacher), pca_dims=256, quantize_to="int8")
    for name in ("config.json", "model.safetensors", "modules.json", "tokenizer.json"):
        (TARGET / name).unlink(missing_ok=True)
    model.save_pretrained(TARGET)
    (TARGET / "README.md").unlink(missing_ok=True)
    made = hashlib.sha256((TARGET / "model.safetensors").read_bytes()).hexdigest()
    print(f"model.safetensors has sha256 {made}: update the model card")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
