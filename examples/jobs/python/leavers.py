"""Suspends people who have left, takes agents' seats back, and ends their sessions: python leavers.py leavers.txt

The file has an external id in each line. Who is suspended and no agent is left alone, so the whole list may be given each time.
"""

import argparse

import gateway
from zendesk_gateway import user_pb2, user_service_pb2, user_service_pb2_grpc


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("leavers")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be done")
    given = arguments.parse_args()
    with gateway.channel() as channel:
        users = user_service_pb2_grpc.UserServiceStub(channel)
        present, unknown = [], []
        for part in gateway.parts(gateway.lines(given.leavers), 1000):
            reply = gateway.read(users.BatchGetUsers, user_service_pb2.BatchGetUsersRequest(external_ids=part))
            present += reply.users
            unknown += [*reply.missing_external_ids, *reply.unreadable_external_ids]
        for external_id in unknown:
            print(external_id, "is nobody in Zendesk")
        leaving = [user for user in present if not user.suspended or user.role != user_pb2.USER_ROLE_END_USER]
        if given.dry_run:
            for user in leaving:
                print(user.external_id, user.name, user_pb2.UserRole.Name(user.role).removeprefix("USER_ROLE_"), "would be suspended")
            return 0

        left, failures = [], gateway.Failures()
        leave = user_pb2.UserInput(suspended=True, role=user_pb2.USER_ROLE_END_USER)  # who is no agent leaves all groups
        request = lambda part: user_service_pb2.BulkUpdateUsersRequest(ids=[user.id for user in part], user=leave, wait=True)
        for user, result, outcome in gateway.bulk(channel, users.BulkUpdateUsers, request, leaving):
            if result == "UPDATED":
                print(user.external_id, user.name, "is suspended")
                left.append(user.id)
            else:
                failures.add(user.external_id, outcome.error or result, outcome.details)
        for part in gateway.parts(left, 1000):
            gateway.write(users.LogoutUsers, user_service_pb2.LogoutUsersRequest(ids=part))
    print(len(left), "suspended,", len(present) - len(leaving), "were so before,", len(unknown), "are nobody in Zendesk")
    return failures.end()


gateway.run(main)
