"""Makes somebody an agent of some groups, the first of which is the default: python onboard_agent.py EMAIL NAME GROUP..."""

import sys

import gateway
import grpc
from zendesk_gateway import (
    group_service_pb2,
    group_service_pb2_grpc,
    membership_service_pb2,
    membership_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)


def main(email, name, *wanted):
    with gateway.channel() as channel:
        groups = group_service_pb2_grpc.GroupServiceStub(channel)
        ids = {group.name: group.id for group in gateway.rows(groups.StreamGroups, group_service_pb2.StreamGroupsRequest(), "groups")}
        unknown = [group for group in wanted if group not in ids]
        if unknown:
            sys.exit(f"no such groups: {unknown}; there are {sorted(ids)}")

        agent = user_pb2.UserInput(email=email, name=name, role=user_pb2.USER_ROLE_AGENT)
        users = user_service_pb2_grpc.UserServiceStub(channel)
        created = users.CreateOrUpdateUser(user_service_pb2.CreateOrUpdateUserRequest(user=agent), timeout=30)
        user_id = created.user.id
        print(name, "is user", user_id)

        memberships = membership_service_pb2_grpc.MembershipServiceStub(channel)
        request = membership_service_pb2.SetUserGroupsRequest(
            user_id=user_id, group_ids=[ids[group] for group in wanted], default_group_id=ids[wanted[0]]
        )
        names = {id: group for group, id in ids.items()}
        request.validate_only = True
        plan = memberships.SetUserGroups(request, timeout=30).plan
        print("joins", [names[id] for id in plan.adds], "leaves", [names[id] for id in plan.removes])
        request.validate_only = False
        reply = memberships.SetUserGroups(request, timeout=30)
        for failure in reply.failures:
            print("failed:", names[failure.id], failure.error, failure.details)
        print("is in", [names[membership.group_id] for membership in reply.group_memberships])
        sys.exit(1 if reply.failures else 0)


try:
    main(*sys.argv[1:])
except grpc.RpcError as error:
    info = gateway.details(error).get("ErrorInfo")
    sys.exit(f"{error.code().name} {info.reason if info else ''}: {error.details()}")
