"""The descriptors that reflection serves: the library's lookup, with methods and its own v1."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

REFLECTION_V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


class DescribedSymbols:
    """Finds descriptors, for the servicer of grpc_reflection, which asks for a descriptor pool.

    The pool of protobuf does not find the file of a method, which tools such as grpcurl ask for.
    """

    def __init__(self) -> None:
        self._pools = (descriptor_pool.Default(), _make_reflection_pool())

    def FindFileByName(self, file_name: str) -> FileDescriptor:  # noqa: N802 (the pool's name)
        """Return the file of a name, or raise KeyError."""
        for pool in self._pools:
            try:
                return pool.FindFileByName(file_name)
            except KeyError:
                continue
        raise KeyError(file_name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        """Return the file that declares a symbol, or raise KeyError.

        A symbol is the full name of a service, method, message, field, oneof, enum, enum value or
        extension.
        """
        parent, _, name = symbol.rpartition(".")
        for pool in self._pools:
            try:
                return pool.FindFileContainingSymbol(symbol)
            except KeyError:
                pass
            try:
                return pool.FindServiceByName(parent).methods_by_name[name].containing_service.file
            except KeyError:
                continue
        raise KeyError(symbol)

    def FindMessageTypeByName(self, full_name: str) -> Descriptor:  # noqa: N802
        """Return a message type, or raise KeyError."""
        return self._pools[0].FindMessageTypeByName(full_name)

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:  # noqa: N802
        """Return the extension of a message type with a number, or raise KeyError."""
        return self._pools[0].FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:  # noqa: N802
        """Return the extensions of a message type."""
        return self._pools[0].FindAllExtensions(message)


def _make_reflection_pool() -> descriptor_pool.DescriptorPool:
    """Return a pool with grpc.reflection.v1, which differs from v1alpha only by its name.

    It is a pool of its own, because another library may add the same file to the default one.
    """
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(
        text_format.Parse(text, descriptor_pb2.FileDescriptorProto()).SerializeToString()
    )
    return pool
