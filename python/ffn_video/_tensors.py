"""Tensors of a safetensors file, for NumPy and PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

from ._errors import damaged, package
from ._files import WEIGHTS, Folder, PathLike

if TYPE_CHECKING:
    import numpy
    import torch

#: NumPy's types by those of the format, in its byte order.
_NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


class Tensors:
    """The bytes of a safetensors file. Each call makes tensors of their own, which may be written to.

    >>> tensors = Run("runs/tiny").weights()
    >>> sorted(tensors.to_numpy()) == sorted(tensors.to_torch())
    True
    """

    def __init__(self, content: bytes, path: object) -> None:
        self._content = content
        self._path = path

    def __repr__(self) -> str:
        return f"Tensors of {self._path}, {len(self._content)} bytes"

    def to_numpy(self) -> Dict[str, numpy.ndarray[Any, Any]]:
        """Arrays by name. bf16, which NumPy does not have, becomes float32: every value of it is one, exactly.

        >>> Run("runs/tiny").weights().to_numpy()["base_model.conv1.weight"].shape
        (8, 3, 3, 3)
        """
        np = package("numpy", "Tensors.to_numpy")
        library = package("safetensors", "Tensors.to_numpy")
        try:
            tensors = library.deserialize(self._content)
        except library.SafetensorError as error:
            raise damaged(self._path, str(error)) from error
        return {name: self._array(np, name, tensor) for name, tensor in sorted(tensors)}

    def to_torch(self) -> Dict[str, torch.Tensor]:
        """Tensors on the CPU by name, each of the type that it has in the file, bf16 included.

        >>> Run("runs/tiny").weights().to_torch()["base_model.bn1_2.num_batches_tracked"].dtype
        torch.int64
        """
        package("torch", "Tensors.to_torch")
        library = package("safetensors.torch", "Tensors.to_torch")
        errors = package("safetensors", "Tensors.to_torch")
        try:
            tensors: Dict[str, torch.Tensor] = library.load(self._content)
        except errors.SafetensorError as error:
            raise damaged(self._path, str(error)) from error
        return tensors

    def _array(self, np: Any, name: str, tensor: Dict[str, Any]) -> numpy.ndarray[Any, Any]:
        kind, shape = tensor["dtype"], tensor["shape"]
        if kind == "BF16":
            halves = np.frombuffer(tensor["data"], dtype="<u2").astype("<u4")
            array: numpy.ndarray[Any, Any] = (halves << 16).view("<f4").reshape(shape)
            return array
        if kind not in _NUMPY:
            raise damaged(self._path, f"tensor `{name}` has type {kind}, which NumPy does not have")
        array = np.frombuffer(bytearray(tensor["data"]), dtype=_NUMPY[kind]).reshape(shape)
        return array


def read_safetensors(path: PathLike) -> Tensors:
    """The tensors of any safetensors file, such as `ffn export RUN --format safetensors` writes.

    >>> read_safetensors("tiny.safetensors").to_numpy()["new_fc.weight"].shape
    (8, 16)
    """
    file = Folder(path)
    folder = Folder(file.path.parent)
    return Tensors(folder.read(file.path.name, WEIGHTS), file.path)
