"""Writes all agents and admins with their groups as CSV: python export_agents.py > agents.csv"""

import collections
import csv
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

with gateway.channel() as channel:
    groups = group_service_pb2_grpc.GroupServiceStub(channel)
    names = {group.id: group.name for group in gateway.rows(groups.StreamGroups, group_service_pb2.StreamGroupsRequest(), "groups")}

    memberships = membership_service_pb2_grpc.MembershipServiceStub(channel)
    request = membership_service_pb2.StreamMembershipsRequest()
    groups_of = collections.defaultdict(list)
    for membership in gateway.rows(memberships.StreamMemberships, request, "group_memberships"):
        # A group that came into being after the list of groups was read has no name yet.
        groups_of[membership.user_id].append(names.get(membership.group_id, str(membership.group_id)))

    users = user_service_pb2_grpc.UserServiceStub(channel)
    agents = user_pb2.UserFilter(roles=[user_pb2.USER_ROLE_AGENT, user_pb2.USER_ROLE_ADMIN])
    output = csv.writer(sys.stdout)
    output.writerow(["id", "name", "email", "role", "groups"])
    for user in gateway.rows(users.StreamUsers, user_service_pb2.StreamUsersRequest(filter=agents), "users"):
        role = user_pb2.UserRole.Name(user.role).removeprefix("USER_ROLE_")
        output.writerow([user.id, user.name, user.email, role, "; ".join(groups_of[user.id])])
