"""The same calls with asyncio."""

import asyncio

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from zendesk_gateway import user_pb2, user_service_pb2, user_service_pb2_grpc


async def main():
    async with grpc.aio.insecure_channel("127.0.0.1:50051") as channel:
        users = user_service_pb2_grpc.UserServiceStub(channel)
        page = await users.ListUsers(user_service_pb2.ListUsersRequest(page_size=2), timeout=10)
        print("call:", page.users[1].name)

        try:
            await users.ListUsers(user_service_pb2.ListUsersRequest(page_size=101), timeout=10)
        except grpc.aio.AioRpcError as error:
            info = error_details_pb2.ErrorInfo()
            rpc_status.from_call(error).details[0].Unpack(info)
            print("error:", error.code().name, info.reason)

        agents = user_pb2.UserFilter(roles=[user_pb2.USER_ROLE_AGENT])
        rows = 0
        async for message in users.StreamUsers(user_service_pb2.StreamUsersRequest(filter=agents), timeout=60):
            rows += len(message.users)
        print("stream:", rows, "agents")


asyncio.run(main())
