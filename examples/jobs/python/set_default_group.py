"""Makes a group the default one of all agents who are in it: python set_default_group.py GROUP"""

import argparse
import sys

import gateway
from zendesk_gateway import (
    group_service_pb2,
    group_service_pb2_grpc,
    membership_pb2,
    membership_service_pb2,
    membership_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("group", metavar="GROUP")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be done")
    given = arguments.parse_args()
    with gateway.channel() as channel:
        groups = group_service_pb2_grpc.GroupServiceStub(channel)
        named = list(gateway.rows(groups.StreamGroups, group_service_pb2.StreamGroupsRequest(), "groups"))
        ids = [group.id for group in named if group.name == given.group]
        if len(ids) != 1:
            sys.exit(f"{len(ids)} groups are called {given.group}; there are {sorted(group.name for group in named)}")

        memberships = membership_service_pb2_grpc.MembershipServiceStub(channel)
        request = membership_service_pb2.StreamMembershipsRequest(filter=membership_pb2.MembershipFilter(group_id=ids[0]))
        members = list(gateway.rows(memberships.StreamMemberships, request, "group_memberships"))
        agents = [membership.user_id for membership in members if not membership.default]
        if given.dry_run:
            print(len(agents), "of", len(members), "agents would get the default group", given.group)
            return 0

        # One request for 100 agents, where each membership has to be made the default one with a request of its own.
        users, failures, changed = user_service_pb2_grpc.UserServiceStub(channel), gateway.Failures(), 0
        change = user_pb2.UserInput(default_group_id=ids[0])
        request = lambda part: user_service_pb2.BulkUpdateUsersRequest(ids=part, user=change, wait=True)
        for agent, result, outcome in gateway.bulk(channel, users.BulkUpdateUsers, request, agents):
            if result == "UPDATED":
                changed += 1
            else:
                failures.add(agent, outcome.error or result, outcome.details)
    print(changed, "changed,", len(members) - len(agents), "of", len(members), "agents had the default group", given.group, "before")
    return failures.end()


gateway.run(main)
