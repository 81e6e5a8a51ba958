"""Makes somebody an agent of some groups, the first of which is the default: python onboard_agent.py EMAIL NAME GROUP..."""

import argparse
import sys

import gateway
from zendesk_gateway import (
    group_service_pb2,
    group_service_pb2_grpc,
    membership_service_pb2,
    membership_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("email")
    arguments.add_argument("name")
    arguments.add_argument("groups", nargs="+", metavar="GROUP")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be done")
    given = arguments.parse_args()
    with gateway.channel() as channel:
        groups = group_service_pb2_grpc.GroupServiceStub(channel)
        ids = {group.name: group.id for group in gateway.rows(groups.StreamGroups, group_service_pb2.StreamGroupsRequest(), "groups")}
        unknown = [group for group in given.groups if group not in ids]
        if unknown:
            sys.exit(f"no such groups: {unknown}; there are {sorted(ids)}")
        names = {id: group for group, id in ids.items()}
        wanted = [ids[group] for group in given.groups]

        users = user_service_pb2_grpc.UserServiceStub(channel)
        memberships = membership_service_pb2_grpc.MembershipServiceStub(channel)
        request = membership_service_pb2.SetUserGroupsRequest(group_ids=wanted, default_group_id=wanted[0])
        if given.dry_run:
            query = user_pb2.UserSearchFilter(query=f'email:"{given.email}"')
            found = gateway.read(users.SearchUsers, user_service_pb2.SearchUsersRequest(filter=query)).users
            if not found:
                print(given.name, "would be created, and join", given.groups)
                return 0
            request.user_id, request.validate_only = found[0].id, True
            plan = gateway.read(memberships.SetUserGroups, request).plan
            joins, leaves = [names[id] for id in plan.adds], [names[id] for id in plan.removes]
            print(found[0].name, "is user", found[0].id, "and would join", joins, "and leave", leaves)
            return 0

        # A new agent gets the groups with the same request. One who is there keeps those that the agent has.
        role = user_pb2.USER_ROLE_AGENT
        agent = user_pb2.UserInput(email=given.email, name=given.name, role=role, group_ids=wanted, default_group_id=wanted[0])
        user = gateway.write(users.CreateOrUpdateUser, user_service_pb2.CreateOrUpdateUserRequest(user=agent)).user
        print(user.name, "is user", user.id)
        request.user_id = user.id
        reply = gateway.write(memberships.SetUserGroups, request)
        failures = gateway.Failures()
        for failure in reply.failures:
            failures.add(names.get(failure.id, failure.id), failure.error, failure.details)
        if reply.plan.removes:
            print("leaves", [names.get(id, id) for id in reply.plan.removes])
        print("is in", sorted(names.get(membership.group_id, membership.group_id) for membership in reply.group_memberships))
        return failures.end()


gateway.run(main)
