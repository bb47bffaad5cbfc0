"""Reads the run folders and suites of `ffn` into pandas, polars, NumPy and PyTorch.

Pure Python without a dependency. pandas, polars, numpy, torch and safetensors are imported by the method that needs
them, and not before.

>>> import ffn_video
>>> run = ffn_video.Run("runs/tiny")
>>> frame = run.metrics().to_pandas()
>>> len(frame) == run.manifest.steps
True
>>> weights = run.weights().to_torch()
>>> weights["base_model.conv1.weight"].dtype
torch.float32

Every call reads the folder as it is now, so the numbers of a run that is still working grow from call to call. What is
read is held against the hashes and the seals of the folder wherever it has some; what is damaged raises
`DamagedError`, which names the file, what was expected and what was found.

The import name is `ffn_video`, since `ffn` on PyPI is a library for finance.
"""

from ._checkpoint import Checkpoint
from ._errors import DamagedError, Error, MissingPackageError, NotFoundError
from ._history import Process
from ._manifest import Manifest
from ._run import Run, results, runs
from ._suite import Suite
from ._table import Table
from ._tensors import Tensors, read_safetensors
from ._verify import Report

__all__ = [
    "Checkpoint",
    "DamagedError",
    "Error",
    "Manifest",
    "MissingPackageError",
    "NotFoundError",
    "Process",
    "Report",
    "Run",
    "Suite",
    "Table",
    "Tensors",
    "read_safetensors",
    "results",
    "runs",
]
