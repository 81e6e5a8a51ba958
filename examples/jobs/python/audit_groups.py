"""Writes each group with its agents as CSV, and what is odd about it: python audit_groups.py > groups.csv

Odd are groups without agents or with one only, and agents who are suspended or have never signed in.
"""

import argparse
import collections
import csv
import sys

import gateway
from zendesk_gateway import group_service_pb2, group_service_pb2_grpc, membership_service_pb2, membership_service_pb2_grpc


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with gateway.channel() as channel:
        stub = group_service_pb2_grpc.GroupServiceStub(channel)
        groups = list(gateway.rows(stub.StreamGroups, group_service_pb2.StreamGroupsRequest(), "groups"))
        memberships = membership_service_pb2_grpc.MembershipServiceStub(channel)
        request = membership_service_pb2.StreamMembershipsRequest(include_users=True)
        agents, in_group = {}, collections.defaultdict(list)
        seen = lambda message: agents.update((user.id, user) for user in message.users)
        for membership in gateway.rows(memberships.StreamMemberships, request, "group_memberships", seen):
            in_group[membership.group_id].append(membership)

    output, odd = csv.writer(sys.stdout), 0
    output.writerow(["id", "name", "agents", "default_for", "suspended", "never_signed_in", "odd"])
    for group in sorted(groups, key=lambda group: group.id):
        members = in_group[group.id]
        people = [agents[membership.user_id] for membership in members if membership.user_id in agents]
        suspended = sorted(user.id for user in people if user.suspended)
        absent = sorted(user.id for user in people if not user.HasField("last_login_at"))
        findings = ["no agents"] if not members else ["one agent only"] if len(members) == 1 else []
        findings += ["suspended agents"] * bool(suspended) + ["agents who have never signed in"] * bool(absent)
        odd += bool(findings)
        default_for = sum(membership.default for membership in members)
        row = [group.id, group.name, len(members), default_for, " ".join(map(str, suspended)), " ".join(map(str, absent))]
        output.writerow([*row, "; ".join(findings)])
    print(len(groups), "groups,", odd, "of them odd", file=sys.stderr)


gateway.run(main)
