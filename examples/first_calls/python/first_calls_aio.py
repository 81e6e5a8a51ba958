"""The same calls with asyncio."""

import asyncio

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from zendesk_gateway import user_pb2, user_service_pb2, user_service_pb2_grpc


def wait(error):
    """Returns how many seconds an error asks to wait."""
    status, retry = rpc_status.from_call(error), error_details_pb2.RetryInfo()
    asked = status and any(detail.Unpack(retry) for detail in status.details)
    return retry.retry_delay.ToTimedelta().total_seconds() if asked else 0.5


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

        rows, token, more = [], "", True
        while more:
            page, more = [], False
            agents = user_pb2.UserFilter(roles=[user_pb2.USER_ROLE_AGENT])
            request = user_service_pb2.StreamUsersRequest(filter=agents, page_token=token)
            try:
                async for message in users.StreamUsers(request, timeout=60):
                    page += message.users
                    more = bool(message.next_page_token)
                    if more:
                        rows, page, token = rows + page, [], message.next_page_token
                rows += page  # with `more` still set, the gateway is shutting down
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                more = True
                await asyncio.sleep(wait(error))
        print("stream:", len(rows), "agents")


asyncio.run(main())
