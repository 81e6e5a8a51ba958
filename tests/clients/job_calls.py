"""What `gateway.read` and `gateway.write` of the examples repeat; tests/it/clients/scripts.rs runs it."""

import time

import gateway
import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2


class Failure(grpc.RpcError):
    """An error of the gateway, or without a reason one of the client's library."""

    def __init__(self, code, reason="", wait=0):
        self.status = code
        status = status_pb2.Status(code=code.value[0], message="why")
        retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=wait))
        for detail in (error_details_pb2.ErrorInfo(reason=reason), retry):
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        self.trailers = [("grpc-status-details-bin", status.SerializeToString())] if reason else []

    def code(self):
        return self.status

    def details(self):
        return "why"

    def trailing_metadata(self):
        return self.trailers


def calls(make, failures):
    """Makes a call that fails so at first, and returns how often it was made, how long was waited, and whether it went well."""
    made, waited = 0, []

    def method(request, timeout, metadata):
        nonlocal made
        made += 1
        if made <= len(failures):
            raise failures[made - 1]
        return "reply"

    time.sleep = waited.append
    try:
        make(method, None)
        return made, sum(waited), True
    except grpc.RpcError:
        return made, sum(waited), False


UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
refused = Failure(EXHAUSTED, "RATE_LIMITED", 7)
lost = Failure(UNAVAILABLE, "OUTCOME_UNKNOWN")
gone = Failure(UNAVAILABLE)
wrong = Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
wanted = [
    (gateway.write, [refused] * 4, (5, 28, True)),
    (gateway.write, [refused] * 5, (5, 28, False)),
    (gateway.write, [lost], (1, 0, False)),
    (gateway.write, [gone], (1, 0, False)),
    (gateway.read, [gone], (2, 1, True)),
    (gateway.read, [gone, gone], (2, 1, False)),
    (gateway.read, [wrong], (1, 0, False)),
]
for make, failures, outcome in wanted:
    made = calls(make, failures)
    assert made == outcome, f"{make.__name__} of {[failure.status.name for failure in failures]}: {made}, not {outcome}"
