"""Creates or updates the people of a CSV file, whom external ids name: python sync_people.py people.csv"""

import sys

import gateway
import grpc
from zendesk_gateway import common_pb2, job_service_pb2, job_service_pb2_grpc, user_pb2, user_service_pb2, user_service_pb2_grpc

AT_ONCE = 1000  # of 10,000 that one call takes, so that a call ends well within its deadline


def main(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        people = gateway.table(file, user_pb2.UserInput)
    with gateway.channel() as channel:
        failed = sum(sync(channel, people[at : at + AT_ONCE]) for at in range(0, len(people), AT_ONCE))
    print(len(people) - failed, "of", len(people), "people are in Zendesk")
    sys.exit(1 if failed else 0)


def sync(channel, people):
    """Returns how many failed. Whoever is left open is sent again: an upsert by external id may be repeated."""
    users, failed = user_service_pb2_grpc.UserServiceStub(channel), 0
    for _ in range(5):
        request = user_service_pb2.BulkCreateOrUpdateUsersRequest(users=people, wait=True)
        try:
            reply = users.BulkCreateOrUpdateUsers(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() not in gateway.PASSING or gateway.reason(error) == "REQUEST_TOO_LARGE":
                raise
            gateway.pause(error)
            continue
        left = []
        for outcome in reply.outcomes:
            person, result = people[outcome.index], common_pb2.BulkResult.Name(outcome.result).removeprefix("BULK_RESULT_")
            if result in ("CREATED", "UPDATED"):
                print(person.external_id, result)
            elif result == "FAILED":
                failed += 1
                print(person.external_id, result, outcome.error, outcome.details)
            else:  # UNKNOWN, NOT_SENT, or PENDING, whose job has not ended yet
                left.append(person)
        wait(channel, {outcome.job_id for outcome in reply.outcomes if outcome.result == common_pb2.BULK_RESULT_PENDING})
        people = left
        if not people:
            break
    return failed + len(people)


def wait(channel, ids):
    """Waits until these jobs have ended."""
    if ids:
        watch = job_service_pb2.WatchJobsRequest(ids=ids)
        for _ in job_service_pb2_grpc.JobServiceStub(channel).WatchJobs(watch, timeout=600):
            pass


main(sys.argv[1])
