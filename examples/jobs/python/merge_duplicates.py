"""Merges end users who are the same person into one: python merge_duplicates.py --dry-run, then without

Users are one person if they are the same in all of the given properties. The verified one stays, of several the oldest. A merge cannot
be undone, so each user is read once more before. Users who have changed within the last minute are left for the next time.
"""

import argparse
import collections

import gateway
from zendesk_gateway import user_pb2, user_service_pb2, user_service_pb2_grpc


def key(user, properties):
    """Returns what makes a user the same person as another, or nothing if a property is missing or it is no active end user."""
    if not user.active or user.role != user_pb2.USER_ROLE_END_USER or user.shared:
        return None
    values = tuple(" ".join(str(getattr(user, name)).casefold().split()) for name in properties if user.HasField(name))
    return values if len(values) == len(properties) and all(values) else None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--by", default="name,organization_id", help="properties of a user, such as name,phone (default: %(default)s)")
    arguments.add_argument("--most", type=int, default=500, help="most merges (default: %(default)s)")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be merged")
    given = arguments.parse_args()
    properties = given.by.split(",")
    unknown = set(properties) - {field.name for field in user_pb2.User.DESCRIPTOR.fields if field.has_presence}
    if unknown:
        arguments.error(f"a user has no {', '.join(sorted(unknown))}")
    with gateway.channel() as channel:
        users, keys = user_service_pb2_grpc.UserServiceStub(channel), {}
        request = user_service_pb2.StreamChangedUsersRequest()
        request.start_time.seconds = 1  # all users, in pages of 1,000
        for user in gateway.rows(users.StreamChangedUsers, request, "users"):
            keys[user.id] = key(user, properties)  # a user may come again, as it is then
        ids_of = collections.defaultdict(list)
        for id, same in keys.items():
            if same:
                ids_of[same].append(id)

        suspects = [id for ids in ids_of.values() if len(ids) > 1 for id in ids]
        people = collections.defaultdict(list)
        for part in gateway.parts(suspects, 1000):
            request = user_service_pb2.BatchGetUsersRequest(ids=part)
            for user in gateway.read(users.BatchGetUsers, request, metadata=gateway.FRESH).users:
                if same := key(user, properties):
                    people[same].append(user)
        merges = []
        for same in people.values():
            stays, *others = sorted(same, key=lambda user: (not user.verified, user.created_at.ToNanoseconds(), user.id))
            merges += [(user, stays) for user in others]

        failures, done = gateway.Failures(), 0
        for user, stays in merges[: given.most]:
            if given.dry_run:
                print(user.id, user.email, "would be merged into", stays.id, stays.email, stays.name)
                continue
            request = user_service_pb2.MergeUserRequest(id=user.id, target_id=stays.id)
            if failures.attempt(user.id, users.MergeUser, request):
                print(user.id, user.email, "is merged into", stays.id, stays.email, stays.name)
                done += 1
    print(len(keys), "users,", len(merges), "duplicates,", done, "merged")
    return failures.end() or int(not given.dry_run and len(merges) > given.most)


gateway.run(main)
