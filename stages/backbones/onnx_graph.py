"""The tensors of an ONNX file, and the operations that use them: for networks that are to be trained further.

onnxruntime runs a graph and does not give out its weights. The file is a protocol buffer (onnx.proto3): messages of
numbered fields, each behind its number, its kind and, where it is bytes, their length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reseed.stages.backbones.weights import present
from reseed.store import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOATS: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}  # TensorProto.DataType
_EXTERNAL = 1  # TensorProto.DataLocation

Field = tuple[int, int | memoryview]


class Operation(NamedTuple):
    """A node: its kind ("Conv"), and the names of what it takes."""

    kind: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """The floating-point tensors of a network by name, and its operations in the order of their computation."""

    tensors: dict[str, Tensor]
    operations: tuple[Operation, ...]

    def taken_by(self, kind: str) -> list[tuple[str, ...]]:
        """Return what each operation of a kind takes beside what flows through the network: weight, bias."""
        return [operation.inputs[1:] for operation in self.operations if operation.kind == kind]


def read_graph(path: Path) -> OnnxGraph:
    """Read the tensors and operations of an ONNX file.

    Raises:
        ModelError: it is none, or keeps tensors in another file.
    """
    path = present(path)
    try:
        (graph,) = [value for number, value in _fields(memoryview(path.read_bytes())) if number == 7]
        members = list(_fields(_message(graph)))
        tensors = dict(_tensor(_message(value)) for number, value in members if number == 5)
        operations = tuple(_operation(_message(value)) for number, value in members if number == 1)
    except (ValueError, IndexError) as error:
        raise ModelError(f"{path} is no ONNX file whose weights can be read: {error}") from error
    return OnnxGraph({name: tensor for name, tensor in tensors.items() if tensor is not None}, operations)


def _operation(message: memoryview) -> Operation:
    fields = list(_fields(message))
    kind = "".join(_text(value) for number, value in fields if number == 4)
    return Operation(kind, tuple(_text(value) for number, value in fields if number == 1))


def _tensor(message: memoryview) -> tuple[str, Tensor | None]:
    """Return name and values; None: whole numbers, which are shapes and axes."""
    fields = list(_fields(message))
    name = "".join(_text(value) for number, value in fields if number == 8)
    kinds = [value for number, value in fields if number == 2 and isinstance(value, int)]
    if (14, _EXTERNAL) in fields:
        raise ValueError(f"{name} lies in another file; save the model as one")
    if len(kinds) != 1 or kinds[0] not in _FLOATS:
        return name, None
    shape = [size for number, value in fields if number == 1 for size in _numbers(value)]
    # Values are raw bytes (9), or a list of numbers (4), which is packed in the same way.
    values = [np.frombuffer(_message(value), _FLOATS[kinds[0]]) for number, value in fields if number in (4, 9)]
    flat = np.concatenate([np.empty(0, np.float32), *values])
    if len(flat) != prod(shape):
        raise ValueError(f"{name} of shape {shape} holds {len(flat)} values")
    return name, torch.from_numpy(flat.astype(np.float32).reshape(shape))


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield number and value of each field: a whole number, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind, size = key & 7, {_FIXED64: 8, _FIXED32: 4}.get(key & 7, 0)
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif not size:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place + size > len(message):
            raise ValueError("it is cut short")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number of more than ten bytes")


def _numbers(value: int | memoryview) -> Iterator[int]:
    """Yield the whole numbers of a repeated field: one each, or packed."""
    if isinstance(value, int):
        yield value
        return
    place = 0
    while place < len(value):
        number, place = _varint(value, place)
        yield number


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in place of bytes")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()
