"""The translation as a team would write it by hand in Python: grpcio in front, aiohttp behind.

Usage: aiohttp_gateway.py PORT DESCRIPTORS UPSTREAM AUTHORIZATION [CA]

With the file of an authority's certificate the upstream speaks TLS 1.3; aiohttp knows no HTTP/2.
"""

import asyncio
import ssl
import sys

import aiohttp
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "zendesk.gateway.v1"
# Fields that are the same in JSON and in the message.
PLAIN = """id url name email time_zone iana_time_zone phone shared_phone_number locale_id locale organization_id verified
    external_id tags alias active shared shared_agent two_factor_auth_enabled signature details notes custom_role_id
    moderator only_private_comments restricted_agent suspended default_group_id report_csv""".split()
GROUP = "id url name description default is_public deleted".split()
ROLES = {"end-user": "USER_ROLE_END_USER", "agent": "USER_ROLE_AGENT", "admin": "USER_ROLE_ADMIN"}


def messages(path):
    pool = descriptor_pool.DescriptorPool()
    with open(path, "rb") as file:
        for proto in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
            pool.Add(proto)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def times(message, body, *names):
    for name in names:
        if body.get(name):
            getattr(message, name).FromJsonString(body[name])


def user(message, body):
    for name in PLAIN:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    message.role = message.DESCRIPTOR.fields_by_name["role"].enum_type.values_by_name[ROLES[body["role"]]].number
    if body.get("role_type") is not None:
        message.role_type = body["role_type"] + 1
    times(message, body, "created_at", "updated_at", "last_login_at")
    if body.get("photo"):
        photo = body["photo"]
        for name in ("id", "url", "file_name", "content_url", "content_type", "size"):
            if photo.get(name) is not None:
                setattr(message.photo, name, photo[name])
    if body.get("user_fields") is not None:
        message.user_fields.update(body["user_fields"])


def group(message, body):
    for name in GROUP:
        if body.get(name) is not None:
            setattr(message, name, body[name])
    times(message, body, "created_at", "updated_at")


def connector(ca):
    if ca is None:
        return aiohttp.TCPConnector()
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return aiohttp.TCPConnector(ssl=context)


async def main(port, descriptors, upstream, authorization, ca=None):
    message = messages(descriptors)
    session = aiohttp.ClientSession(headers={"authorization": authorization}, connector=connector(ca))

    def unary(request, reply, path, envelope, fill):
        reply_class = message(reply)

        async def handle(request, context):
            async with session.get(f"{upstream}/api/v2/{path}/{request.id}") as response:
                if response.status != 200:
                    await context.abort(grpc.StatusCode.INTERNAL, f"upstream answered {response.status}")
                body = await response.json()
            reply = reply_class()
            fill(getattr(reply, envelope), body[envelope])
            return reply

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=message(request).FromString,
            response_serializer=reply_class.SerializeToString,
        )

    page = message("ListUsersResponse")

    async def list_users(request, context):
        async with session.get(f"{upstream}/api/v2/users", params={"page[size]": request.page_size}) as response:
            if response.status != 200:
                await context.abort(grpc.StatusCode.INTERNAL, f"upstream answered {response.status}")
            body = await response.json()
        reply = page()
        for row in body["users"]:
            user(reply.users.add(), row)
        return reply

    server = grpc.aio.server()
    users = {
        "ListUsers": grpc.unary_unary_rpc_method_handler(
            list_users,
            request_deserializer=message("ListUsersRequest").FromString,
            response_serializer=page.SerializeToString,
        ),
        "GetUser": unary("GetUserRequest", "GetUserResponse", "users", "user", user),
    }
    groups = {"GetGroup": unary("GetGroupRequest", "GetGroupResponse", "groups", "group", group)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(f"{PACKAGE}.UserService", users),
            grpc.method_handlers_generic_handler(f"{PACKAGE}.GroupService", groups),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main(*sys.argv[1:]))
