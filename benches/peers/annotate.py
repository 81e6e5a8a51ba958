"""Writes a descriptor set with `google.api.http` annotations, which Envoy's reverse transcoder needs.

Usage: annotate.py DESCRIPTORS OUTPUT RPCS

RPCS has one line per annotated RPC, `service<tab>method<tab>path`, taken from the contract's own `upstream` options.
"""

import sys

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

PACKAGE = "zendesk.gateway.v1"
FIELD = descriptor_pb2.FieldDescriptorProto


def enum_as_json(field):
    """Envoy reads an enum by the name it has in the proto file. Zendesk writes its own words, which only fit a string;
    the kinds of agents it writes as numbers."""
    field.type = FIELD.TYPE_INT64 if field.type_name.endswith(".RoleType") else FIELD.TYPE_STRING
    field.ClearField("type_name")


def main(source, output, rpcs):
    with open(rpcs) as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    paths = {(service, method): path for service, method, path in rows}
    with open(source, "rb") as file:
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    for file in descriptors.file:
        if file.package != PACKAGE:
            continue
        file.dependency.append("google/api/annotations.proto")
        for message in file.message_type:
            for field in message.field:
                if field.type == FIELD.TYPE_ENUM:
                    enum_as_json(field)
        for service in file.service:
            for method in service.method:
                path = paths.get((service.name, method.name))
                if path:
                    method.options.Extensions[annotations_pb2.http].get = path
    known = {file.name for file in descriptors.file}
    annotations = []
    for module in [http_pb2, annotations_pb2]:
        if module.DESCRIPTOR.name not in known:
            annotations.append(descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    # Each file comes after those it imports: the annotations after descriptor.proto, and before all of ours.
    ours = [file for file in descriptors.file if file.package == PACKAGE]
    others = [file for file in descriptors.file if file.package != PACKAGE]
    with open(output, "wb") as file:
        file.write(descriptor_pb2.FileDescriptorSet(file=others + annotations + ours).SerializeToString())


main(*sys.argv[1:])
