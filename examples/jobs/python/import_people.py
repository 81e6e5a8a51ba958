"""Creates or updates the people of a CSV file of any size: python import_people.py people.csv import.journal

Whatever is killed on the way, this program, the gateway or the network, start it again with the same files: it goes on where it was.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import threading

import gateway
import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from zendesk_gateway import bulk_pb2, common_pb2, user_pb2, user_service_pb2, user_service_pb2_grpc

AHEAD = 100  # rows that the gateway may have without a receipt or an outcome; more could become unknown at once, fewer fill no request


class Import:
    """What is known of the rows, and written down before anything follows from it."""

    def __init__(self, path, of):
        self.receipts, self.done, self.next, self.announced = {}, {}, 0, None
        self.journal = open(path, "a+b")
        self.journal.seek(0)
        lines = self.journal.read().split(b"\n")
        first = json.dumps({"file": of}).encode()
        if lines[0] not in (b"", first) and not (len(lines) == 1 and first.startswith(lines[0])):
            sys.exit(f"{path} is no journal of this file")
        self.journal.truncate(self.journal.tell() - len(lines.pop()))  # this program was killed while it wrote the last line
        if not lines:
            self.append({"file": of})
        for line in lines[1:]:
            self.take(ParseDict(json.loads(line), bulk_pb2.BulkEvent()))

    def append(self, line):
        self.journal.write(json.dumps(line).encode() + b"\n")
        self.journal.flush()
        os.fsync(self.journal.fileno())

    def write(self, event):
        self.append(MessageToDict(event))
        self.take(event)

    def take(self, event):
        kind = event.WhichOneof("event")
        if kind == "announcement":
            self.announced = event.announcement
        elif kind == "receipt":
            self.receipts[event.receipt.job_id] = event.receipt
            self.next, self.announced = event.receipt.first_index + event.receipt.row_count, None
        elif kind == "outcomes":
            sent = [outcome for outcome in event.outcomes.outcomes if outcome.result != common_pb2.BULK_RESULT_NOT_SENT]
            self.done.update({outcome.index: outcome for outcome in sent})
            if event.outcomes.HasField("job"):
                self.receipts.pop(event.outcomes.job.id, None)
            elif self.announced:  # the announced rows have led to no job
                if sent:
                    self.next = self.announced.first_index + self.announced.row_count
                self.announced = None

    def begin(self):
        """Returns how a stream begins. What was announced to an earlier one is announced anew: an upsert by external id may be repeated."""
        self.announced = None
        while self.next in self.done:  # it was refused, and no receipt has come after it
            self.next += 1
        return bulk_pb2.BulkStart(resume_from=self.next, open_receipts=self.receipts.values())


def messages(state, people, start, told, ended):
    """Hands rows over, and no more than AHEAD before what was said of them is written down."""
    handed = start.resume_from
    yield user_service_pb2.StreamBulkCreateOrUpdateUsersRequest(start=start)
    while handed < len(people):
        with told:
            refused = sum(index in state.done for index in range(state.next, handed))
            room = AHEAD - (handed - state.next - refused)
            if room <= 0 and not ended.is_set():
                told.wait()
                continue
        if ended.is_set():
            return
        some = people[handed : handed + min(room, 25)]
        yield user_service_pb2.StreamBulkCreateOrUpdateUsersRequest(users=some)
        handed += len(some)


def stream(users, state, people):
    """Runs one stream to its end."""
    told, ended = threading.Condition(), threading.Event()
    requests = messages(state, people, state.begin(), told, ended)
    try:
        for reply in users.StreamBulkCreateOrUpdateUsers(requests, timeout=900):
            with told:
                state.write(reply.event)
                told.notify()
    finally:
        ended.set()
        with told:
            told.notify()


def check(users, people):
    """Says what is wrong with rows, and returns the program's exit code. Nothing is sent to Zendesk."""
    start = bulk_pb2.BulkStart(dry_run=True)
    kind = user_service_pb2.StreamBulkCreateOrUpdateUsersRequest
    requests = [kind(start=start), *(kind(users=part) for part in gateway.parts(people, 100))]
    wrong = 0
    for reply in users.StreamBulkCreateOrUpdateUsers(iter(requests), timeout=900):
        for violation in reply.event.violations.violations:
            print(people[violation.index].external_id, violation.field, violation.description)
            wrong += 1
    print(len(people), "people,", wrong, "faults")
    return 1 if wrong else 0


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("people")
    arguments.add_argument("journal", help="what is written down of the import; a new file begins a new one")
    arguments.add_argument("--dry-run", action="store_true", help="say what is wrong with rows, and send nothing to Zendesk")
    given = arguments.parse_args()
    with open(given.people, "rb") as file:
        content = file.read()
    people = gateway.table(io.StringIO(content.decode("utf-8-sig"), newline=""), user_pb2.UserInput)
    with gateway.channel() as channel:
        users, tries = user_service_pb2_grpc.UserServiceStub(channel), 0
        if given.dry_run:
            return check(users, people)
        state = Import(given.journal, hashlib.sha256(content).hexdigest())
        while True:
            before = (state.next, len(state.done))
            try:
                stream(users, state, people)
                break
            except grpc.RpcError as error:
                tries = tries + 1 if before == (state.next, len(state.done)) else 0
                if error.code() not in gateway.PASSING or tries == 5:
                    raise
                print(error.code().name, error.details(), file=sys.stderr)
                gateway.pause(error)
    good = (common_pb2.BULK_RESULT_CREATED, common_pb2.BULK_RESULT_UPDATED)
    left, failures = [outcome for _, outcome in sorted(state.done.items()) if outcome.result not in good], gateway.Failures()
    for outcome in left:  # UNKNOWN ones may be sent again, in an import of their own
        result = common_pb2.BulkResult.Name(outcome.result).removeprefix("BULK_RESULT_")
        failures.add(people[outcome.index].external_id, outcome.error or result, outcome.details)
    print(len(state.done) - len(left), "of", len(people), "people are in Zendesk")
    return failures.end() or int(len(state.done) < len(people))


gateway.run(main)
