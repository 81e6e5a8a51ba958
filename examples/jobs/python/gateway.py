"""What the jobs share: the channel, calls that are repeated where they may be, streams that go on where they broke, bulk calls, the
reading of tables, and what is said of failures.

A job ends with 0 if all is done, with 1 if something failed or is left, which it says, and with 2 if it was called wrongly. Whatever
is left, start it again: it looks at what Zendesk holds, and does the rest.
"""

import collections
import csv
import os
import sys
import time

import grpc
from google.protobuf.json_format import ParseDict, ParseError
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from zendesk_gateway import common_pb2, job_service_pb2, job_service_pb2_grpc

# What may be gone the next time. A write that ends so may have been done, which only repeating a read does not mind.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
# Reasons for which a call was refused for now, and nothing was carried out: a write may be repeated, too.
REFUSED = ("RATE_LIMITED", "CALLER_LIMIT", "JOB_LIMIT", "OVERLOADED", "BREAKER_OPEN", "SHUTTING_DOWN")
# Reasons that lie in one row: others may go well.
OF_A_ROW = ("INVALID_FIELD", "RECORD_INVALID", "DUPLICATE_VALUE", "NOT_FOUND", "CONFLICT", "PERMISSION_DENIED", "OUTCOME_UNKNOWN")


def channel():
    """Returns a channel to $GATEWAY_ADDRESS."""
    return grpc.insecure_channel(
        os.environ.get("GATEWAY_ADDRESS", "127.0.0.1:50051"), options=[("grpc.max_receive_message_length", 16 << 20)]
    )


def run(main):
    """Runs a job, and ends the program."""
    sys.stdout.reconfigure(line_buffering=True)  # what was done is told even by a job that is killed
    try:
        sys.exit(main())
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name} {reason(error)}: {error.details()}\nwhat was done is done; start it again for the rest")
    except BrokenPipeError:  # whoever reads what is printed has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def lines(path):
    """Returns the lines of a file that say something, each once."""
    with open(path, encoding="utf-8-sig") as file:
        return list(dict.fromkeys(filter(None, map(str.strip, file))))


def parts(rows, size):
    """Cuts a list into lists of at most so many."""
    return [rows[at : at + size] for at in range(0, len(rows), size)]


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
    """Returns the reason of an error, such as NOT_FOUND. One that is not the gateway's says nothing of what was done."""
    info = details(error).get("ErrorInfo")
    return info.reason if info else "OUTCOME_UNKNOWN"


def pause(error):
    """Waits as long as an error asks to, or a second."""
    retry = details(error).get("RetryInfo")
    time.sleep(retry.retry_delay.ToTimedelta().total_seconds() if retry else 1)


# Sent with a read, it keeps the gateway from answering from memory: for what is decided about things that cannot be undone.
FRESH = (("cache-control", "no-cache"),)


def write(method, request, timeout=30, metadata=()):
    """Makes a call. One that was refused for now is repeated, because nothing was carried out; one that was lost is not."""
    for tries in range(5):
        try:
            return method(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            if reason(error) not in REFUSED or tries == 4:
                raise
            pause(error)


def read(method, request, timeout=30, metadata=()):
    """Makes a call that only reads, so that it is repeated once where it was lost, too."""
    try:
        return write(method, request, timeout, metadata)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        pause(error)
        return write(method, request, timeout, metadata)


def rows(method, request, field, beside=lambda message: None):
    """Yields the rows of a list from its stream. A row counts once a token has come after it: what came after the last token comes again.
    Rows that the gateway cannot read are missing, and are told. `beside` sees each message, for what it has besides rows."""
    more, tries, missing = True, 0, 0
    while more:
        page, more, tries, unreadable = [], False, tries + 1, 0
        try:
            for message in method(request, timeout=600):
                beside(message)
                page += getattr(message, field)
                unreadable += message.unreadable_rows
                # Changes of users have a token at their end, too.
                more = bool(message.next_page_token) and not getattr(message, "caught_up", False)
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


AT_ONCE = 1000  # of 10,000 that one call takes, so that a call ends well within its deadline


def bulk(channel, method, request, inputs):
    """Makes bulk calls, and yields each input with the result, such as UPDATED, and the outcome. `request` makes a request of inputs.
    Whoever is left open is sent again, so it is for what may be repeated: updates, and upserts by external id."""
    for part in parts(inputs, AT_ONCE):
        for _ in range(5):
            try:
                reply = method(request(part), timeout=30)
            except grpc.RpcError as error:
                if error.code() not in PASSING or reason(error) == "REQUEST_TOO_LARGE":
                    raise
                failure = error
                pause(error)
                continue
            failure, left = None, []
            for outcome in reply.outcomes:
                result = common_pb2.BulkResult.Name(outcome.result).removeprefix("BULK_RESULT_")
                if result in ("UNKNOWN", "NOT_SENT", "PENDING"):  # the job of a pending one has not ended yet
                    left.append((part[outcome.index], result, outcome))
                else:
                    yield part[outcome.index], result, outcome
            wait(channel, {outcome.job_id for _, result, outcome in left if result == "PENDING"})
            part = [one for one, _, _ in left]
            if not part:
                break
        if failure:
            raise failure
        yield from left


def wait(channel, ids):
    """Waits until these jobs have ended."""
    if ids:
        watch = job_service_pb2.WatchJobsRequest(ids=ids)
        for _ in job_service_pb2_grpc.JobServiceStub(channel).WatchJobs(watch, timeout=600):
            pass


class Failures:
    """The rows that failed, by reason."""

    def __init__(self):
        self.reasons = collections.Counter()

    def add(self, row, reason, sentence):
        """Says that a row failed."""
        self.reasons[reason] += 1
        print(row, "FAILED", reason, sentence, file=sys.stderr)

    def attempt(self, row, method, request, done_before=None):
        """Makes a call for one row, and returns the reply, or nothing if it failed for a reason that lies in the row, or for the one
        that says that it was done before."""
        try:
            return write(method, request)
        except grpc.RpcError as error:
            if reason(error) not in OF_A_ROW:
                raise
            if reason(error) != done_before:
                self.add(row, reason(error), error.details())
            return None

    def end(self):
        """Says how many failed, and returns the program's exit code."""
        if self.reasons:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
            print(self.reasons.total(), "failed:", reasons, file=sys.stderr)
        return 1 if self.reasons else 0
