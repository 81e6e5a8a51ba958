"""A call, an error with details, an update with a mask, and a stream that is resumed."""

import time

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from zendesk_gateway import user_pb2, user_service_pb2, user_service_pb2_grpc

channel = grpc.insecure_channel("127.0.0.1:50051")
users = user_service_pb2_grpc.UserServiceStub(channel)


def details(error):
    """Returns the details of an error by their kind: ErrorInfo, RetryInfo, BadRequest."""
    found = {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        kind = getattr(error_details_pb2, detail.type_url.rpartition(".")[2])
        found[kind.__name__] = kind.FromString(detail.value)
    return found


# A call. Without a timeout it may take as long as the gateway allows.
page = users.ListUsers(user_service_pb2.ListUsersRequest(page_size=2), timeout=10)
user = page.users[1]
print("call:", user.name)

# An error with details.
try:
    users.ListUsers(user_service_pb2.ListUsersRequest(page_size=101), timeout=10)
except grpc.RpcError as error:
    found = details(error)
    print("error:", error.code().name, found["ErrorInfo"].reason, found["BadRequest"].field_violations[0].field)

# An update of one custom field, and of the notes, which are cleared: the mask names them, and they are not set.
mask = FieldMask(paths=["user_fields.plan", "notes"])
changes = user_pb2.UserInput(user_fields={"plan": "gold"})
request = user_service_pb2.UpdateUserRequest(id=user.id, user=changes, update_mask=mask)
user = users.UpdateUser(request, timeout=10).user
print("update:", user.user_fields["plan"], repr(user.notes))

# A stream. Rows count once a token has come after them: what came after the last token comes again.
RESUMED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
agents = user_pb2.UserFilter(roles=[user_pb2.USER_ROLE_AGENT])
rows, token, more = [], "", True
while more:
    page, more = [], False
    try:
        for message in users.StreamUsers(user_service_pb2.StreamUsersRequest(filter=agents, page_token=token), timeout=60):
            page += message.users
            more = bool(message.next_page_token)
            if more:
                rows, page, token = rows + page, [], message.next_page_token
        rows += page  # with `more` still set, the gateway is shutting down
    except grpc.RpcError as error:
        if error.code() not in RESUMED:
            raise
        more = True
        retry = details(error).get("RetryInfo")
        time.sleep(retry.retry_delay.ToTimedelta().total_seconds() if retry else 0.5)
print("stream:", len(rows), "agents,", len({row.id for row in rows}), "ids")
