"""Erases the data of users who were deleted some time ago, for good: python purge_deleted.py --dry-run, then without

Zendesk takes 700 of these in ten minutes; the program waits when it has to.
"""

import argparse
import datetime

import gateway
from zendesk_gateway import user_service_pb2, user_service_pb2_grpc


def is_erased(user):
    """True if the data are gone. Zendesk says so by the name alone."""
    return user.name == "Permanently Deleted User" and not user.email


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--days", type=int, default=30, help="leave those deleted within so many days (default: %(default)s)")
    arguments.add_argument("--most", type=int, default=10_000, help="most users to erase (default: %(default)s)")
    arguments.add_argument("--dry-run", action="store_true", help="say who would be erased")
    given = arguments.parse_args()
    until = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=given.days)
    with gateway.channel() as channel:
        users, due, more = user_service_pb2_grpc.UserServiceStub(channel), [], True
        # Those that changed last come last, so that the pages of recent deletions are not read at all.
        request = user_service_pb2.ListDeletedUsersRequest(sort="updated_at")
        while more:
            page = gateway.read(users.ListDeletedUsers, request, metadata=gateway.FRESH)
            old = [user for user in page.deleted_users if user.updated_at.ToDatetime(datetime.timezone.utc) < until]
            due += [user for user in old if not is_erased(user)]
            request.page_token = page.next_page_token
            more = page.next_page_token and len(old) == len(page.deleted_users)
        failures, erased = gateway.Failures(), 0
        for user in due[: given.most]:
            if given.dry_run:
                print(user.id, user.name, "would be erased")
                continue
            request = user_service_pb2.PermanentlyDeleteUserRequest(id=user.id)
            if failures.attempt(user.id, users.PermanentlyDeleteUser, request, done_before="DUPLICATE_VALUE"):
                print(user.id, user.name, "is erased")
                erased += 1
    print(len(due), "were deleted before", until.date(), "and", erased, "of them are erased now")
    return failures.end() or int(not given.dry_run and len(due) > given.most)


gateway.run(main)
