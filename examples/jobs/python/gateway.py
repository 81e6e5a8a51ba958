"""What the jobs share: the channel, the reading of tables and errors, and streams that go on where they broke."""

import csv
import os
import sys
import time

import grpc
from google.protobuf.json_format import ParseDict, ParseError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# What may be gone the next time. A write that ends so may have been done, which only repeating a read does not mind.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)


def channel():
    """Returns a channel to $GATEWAY_ADDRESS."""
    return grpc.insecure_channel(
        os.environ.get("GATEWAY_ADDRESS", "127.0.0.1:50051"), options=[("grpc.max_receive_message_length", 16 << 20)]
    )


def table(lines, kind):
    """Returns the rows of a CSV table as messages of a kind, whose fields are the columns. A list is written as words: "vip beta"."""
    rows, found = csv.DictReader(lines), []
    booleans = {"true": True, "false": False}
    for number, row in enumerate(rows, 1):
        try:
            values = {}
            for name, text in row.items():
                if name is None or text is None:
                    raise ParseError("it has not as many values as there are columns")
                field = kind.DESCRIPTOR.fields_by_name.get(name)
                if field is not None and field.is_repeated:
                    values[name] = text.split()
                elif text:
                    is_boolean = field is not None and field.type == field.TYPE_BOOL
                    values[name] = booleans.get(text.lower(), text) if is_boolean else text
            found.append(ParseDict(values, kind()))
        except ParseError as wrong:
            sys.exit(f"row {number}, which ends in line {rows.line_num}: {wrong}")
    return found


def details(error):
    """Returns the details of an error by their kind: ErrorInfo, RetryInfo, BadRequest."""
    status = rpc_status.from_call(error)
    kinds = [(detail, getattr(error_details_pb2, detail.type_url.rpartition(".")[2])) for detail in status.details] if status else []
    return {kind.__name__: kind.FromString(detail.value) for detail, kind in kinds}


def reason(error):
    """Returns the reason of an error, such as NOT_FOUND, or nothing if it is not the gateway's."""
    info = details(error).get("ErrorInfo")
    return info.reason if info else ""


def pause(error):
    """Waits as long as an error asks to, or a second."""
    retry = details(error).get("RetryInfo")
    time.sleep(retry.retry_delay.ToTimedelta().total_seconds() if retry else 1)


def rows(method, request, field):
    """Yields the rows of a list from its stream. A row counts once a token has come after it: what came after the last token comes again.
    Rows that the gateway cannot read are missing, and are told."""
    more, tries, missing = True, 0, 0
    while more:
        page, more, tries, unreadable = [], False, tries + 1, 0
        try:
            for message in method(request, timeout=600):
                page += getattr(message, field)
                unreadable += message.unreadable_rows
                more = bool(message.next_page_token)
                if more:
                    yield from page
                    missing += unreadable
                    request.page_token, page, tries, unreadable = message.next_page_token, [], 0, 0
            yield from page  # with `more` still set, the gateway is shutting down
            missing += unreadable
        except grpc.RpcError as error:
            if error.code() not in PASSING or tries == 5:
                raise
            more = True
            pause(error)
    if missing:
        print(f"{missing} rows of Zendesk's {field} cannot be read, and are missing here", file=sys.stderr)
