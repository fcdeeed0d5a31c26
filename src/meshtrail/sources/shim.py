"""Shim descriptors: a protobuf message type cut down to the fields that are read.

Cutting the published type, instead of writing a second schema by hand, keeps field numbers and
types right by construction, and what is not read costs nothing to skip. The same descriptor drives
``ptars`` (columns) and ``protobuf`` (upb: what is valid, and the reference).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

BYTES: Final = "bytes"
"""In a tree: take the sub-message as bytes, undecoded."""

PRESENCE: Final = "presence"
"""In a tree: a scalar that is null where it is absent, as a member of a oneof can be."""

LAX_TEXT: Final = "lax text"
"""In a tree: a text as its bytes, which need not be UTF-8; null where it is absent."""

FieldTree: TypeAlias = "dict[str, FieldTree | str | None]"
"""Field name -> None for a scalar, the fields of a sub-message, ``BYTES``, ``PRESENCE``
or ``LAX_TEXT``."""

_Field = descriptor_pb2.FieldDescriptorProto


def cut_descriptor(published: Descriptor, tree: FieldTree, *, package: str) -> Descriptor:
    """A message type with only the fields in ``tree``, wire compatible with ``published``.

    Enums become int32 (an unknown value keeps its number), maps become repeated entries (so that
    the caller decides which of two equal keys counts), oneofs dissolve (both members are kept).

    Args:
        published: the full type.
        tree: the fields to keep; an unknown name is a KeyError, so a typo cannot pass.
        package: name of the new package; must differ for each cut.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    _add_message(file, published, tree, "Root")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName(f"{package}.Root")


def repeat_descriptor(element: Descriptor) -> Descriptor:
    """A message type with nothing but field 1, repeated: messages of type ``element``."""
    file = descriptor_pb2.FileDescriptorProto()
    element.file.CopyToProto(file)
    file.name = f"{file.package}.many.proto"
    many = file.message_type.add(name="Many")
    many.field.add(
        name="elements",
        number=1,
        type=_Field.TYPE_MESSAGE,
        label=_Field.LABEL_REPEATED,
        type_name=f".{element.full_name}",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName(f"{file.package}.Many")


def _add_message(
    file: descriptor_pb2.FileDescriptorProto, published: Descriptor, tree: FieldTree, name: str
) -> None:
    message = file.message_type.add(name=name)
    for field_name, kept in tree.items():
        full = published.fields_by_name[field_name]
        field = message.field.add(name=field_name, number=full.number, type=full.type)
        field.label = _Field.LABEL_REPEATED if full.is_repeated else _Field.LABEL_OPTIONAL
        if full.type == _Field.TYPE_ENUM:
            field.type = _Field.TYPE_INT32
        elif kept in (BYTES, LAX_TEXT):
            field.type = _Field.TYPE_BYTES
        if kept in (PRESENCE, LAX_TEXT):
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field_name}")
        elif isinstance(kept, dict):
            if full.message_type is None:
                raise TypeError(f"{full.full_name} is no message, so it has no fields to keep")
            child = f"{name}_{field_name}"
            field.type_name = f".{file.package}.{child}"
            _add_message(file, full.message_type, kept, child)
