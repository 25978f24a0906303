"""Exported models in PyTorch itself: `make torch` installs it, and runs this file."""

import subprocess
import sys

import numpy as np
import pytest

from minivae.models.exporting import to_torch
from models.test_exporting import KINDS, fitted


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_is_the_same_in_pytorch(kind, tmp_path):
    vae, _ = fitted(kind)
    script, arrays = to_torch(vae)
    np.savez(tmp_path / "weights.npz", **arrays)
    (tmp_path / "model.py").write_text(script, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "model.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
