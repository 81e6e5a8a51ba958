"""Gives tags to users, or with --remove takes them away: python tag_users.py users.txt TAG...

The file has an external id in each line. Who has the tags already is left alone, and so are all other tags, also those that somebody
else changes meanwhile.
"""

import argparse

import gateway
from zendesk_gateway import user_service_pb2, user_service_pb2_grpc


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("users")
    arguments.add_argument("tags", nargs="+", metavar="TAG")
    arguments.add_argument("--remove", action="store_true", help="take the tags away")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be done")
    given = arguments.parse_args()
    tags, failures, changed, right = {tag.lower() for tag in given.tags}, gateway.Failures(), 0, 0
    with gateway.channel() as channel:
        users = user_service_pb2_grpc.UserServiceStub(channel)
        if given.remove:
            method, kind = users.RemoveUserTags, user_service_pb2.RemoveUserTagsRequest
        else:
            method, kind = users.AddUserTags, user_service_pb2.AddUserTagsRequest
        for part in gateway.parts(gateway.lines(given.users), 1000):
            reply = gateway.read(users.BatchGetUsers, user_service_pb2.BatchGetUsersRequest(external_ids=part))
            for external_id in [*reply.missing_external_ids, *reply.unreadable_external_ids]:
                failures.add(external_id, "NOT_FOUND", "is nobody in Zendesk")
            for user in reply.users:
                has = tags & {tag.lower() for tag in user.tags}
                change = sorted(has if given.remove else tags - has)
                if not change:
                    right += 1
                elif given.dry_run:
                    print(user.external_id, "would lose" if given.remove else "would get", " ".join(change))
                elif answer := failures.attempt(user.external_id, method, kind(user_id=user.id, tags=change)):
                    if answer.ignored:
                        failures.add(user.external_id, "IGNORED", "Zendesk has ignored " + " ".join(answer.ignored))
                    else:
                        print(user.external_id, "lost" if given.remove else "got", " ".join(change))
                        changed += 1
    print(changed, "changed,", right, "were right before")
    return failures.end()


gateway.run(main)
