"""A client that knows nothing but the address: everything else it learns by server reflection.

Prints one JSON object with what it saw, for the test that runs it to compare.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "zendesk.gateway.v1"
channel = grpc.insecure_channel(sys.argv[1])
database = ProtoReflectionDescriptorDatabase(channel)
pool = descriptor_pool.DescriptorPool(database)


def call(service, method, **fields):
    descriptor = pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(method)
    request = message_factory.GetMessageClass(descriptor.input_type)(**fields)
    reply = message_factory.GetMessageClass(descriptor.output_type)
    kind = channel.unary_stream if descriptor.server_streaming else channel.unary_unary
    stub = kind(
        f"/{PACKAGE}.{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reply.FromString,
    )
    return stub(request, timeout=120)


def pages(service, method, rows, **fields):
    ids, token, count = [], "", 0
    while True:
        page = call(service, method, page_token=token, **fields)
        ids += [row.id for row in getattr(page, rows)]
        token, count = page.next_page_token, count + 1
        if not token:
            return {"ids": ids, "pages": count}


def stream(service, method, rows, **fields):
    return [row.id for message in call(service, method, **fields) for row in getattr(message, rows)]


def refusal():
    try:
        call("UserService", "GetUser", id=0)
    except grpc.RpcError as error:
        return error.code().name


method = pool.FindServiceByName(f"{PACKAGE}.UserService").FindMethodByName("GetUser")
upstream = pool.FindExtensionByName(f"{PACKAGE}.upstream")
# Extension values are read through a class made from the same pool.
options = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MethodOptions"))()
options.ParseFromString(method.GetOptions().SerializeToString())
health = health_pb2_grpc.HealthStub(channel)

user_id, group_id, member_id = (int(argument) for argument in sys.argv[2:5])
by_user = {"filter": {"user_id": member_id}}
by_group = {"filter": {"group_id": group_id}}
print(json.dumps({
    "services": sorted(database.get_services()),
    "upstream_of_get_user": list(options.Extensions[upstream].get),
    "health": {
        name: health.Check(health_pb2.HealthCheckRequest(service=name)).status
        for name in ["", f"{PACKAGE}.UserService", f"{PACKAGE}.JobService"]
    },
    "user": call("UserService", "GetUser", id=user_id).user.id,
    "refusal": refusal(),
    "listed_users": pages("UserService", "ListUsers", "users", filter={"group_id": group_id}, page_size=10),
    "streamed_users": stream("UserService", "StreamUsers", "users"),
    "streamed_groups": stream("GroupService", "StreamGroups", "groups"),
    "groups_of_user": stream("GroupService", "StreamGroups", "groups", **by_user),
    "streamed_memberships": stream("MembershipService", "StreamMemberships", "group_memberships"),
    "memberships_of_user": stream("MembershipService", "StreamMemberships", "group_memberships", **by_user),
    "memberships_of_group": pages("MembershipService", "ListMemberships", "group_memberships", page_size=7, **by_group),
}))
