"""Writes all agents and admins with the names of their role, organization and groups as CSV: python export_agents.py > agents.csv"""

import argparse
import collections
import csv
import sys

import gateway
from zendesk_gateway import (
    membership_service_pb2,
    membership_service_pb2_grpc,
    organization_service_pb2,
    organization_service_pb2_grpc,
    role_service_pb2,
    role_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    with gateway.channel() as channel:
        users = user_service_pb2_grpc.UserServiceStub(channel)
        staff = user_pb2.UserFilter(roles=[user_pb2.USER_ROLE_AGENT, user_pb2.USER_ROLE_ADMIN])
        agents = list(gateway.rows(users.StreamUsers, user_service_pb2.StreamUsersRequest(filter=staff), "users"))

        memberships = membership_service_pb2_grpc.MembershipServiceStub(channel)
        request = membership_service_pb2.StreamMembershipsRequest(include_groups=True)
        names, groups_of = {}, collections.defaultdict(list)
        named = lambda message: names.update((group.id, group.name) for group in message.groups)
        for membership in gateway.rows(memberships.StreamMemberships, request, "group_memberships", named):
            groups_of[membership.user_id].append(names.get(membership.group_id, str(membership.group_id)))

        organizations, organization_names = organization_service_pb2_grpc.OrganizationServiceStub(channel), {}
        for part in gateway.parts(sorted({agent.organization_id for agent in agents if agent.organization_id}), 1000):
            request = organization_service_pb2.BatchGetOrganizationsRequest(ids=part)
            reply = gateway.read(organizations.BatchGetOrganizations, request)
            organization_names.update((organization.id, organization.name) for organization in reply.organizations)

        role_names = {}
        if any(agent.custom_role_id for agent in agents):  # only accounts on the Enterprise plan have custom roles
            roles = role_service_pb2_grpc.CustomRoleServiceStub(channel)
            reply = gateway.read(roles.ListCustomRoles, role_service_pb2.ListCustomRolesRequest())
            role_names = {role.id: role.name for role in reply.custom_roles}

    output = csv.writer(sys.stdout)
    output.writerow(["id", "name", "email", "role", "organization", "groups"])
    for agent in agents:
        basic = user_pb2.UserRole.Name(agent.role).removeprefix("USER_ROLE_").lower()
        organization = organization_names.get(agent.organization_id, "")
        groups = "; ".join(sorted(groups_of[agent.id]))
        output.writerow([agent.id, agent.name, agent.email, role_names.get(agent.custom_role_id, basic), organization, groups])


gateway.run(main)
