"""Writes each organization with the number of its users as CSV: python users_per_organization.py > organizations.csv

Users who are in several organizations count in each.
"""

import argparse
import collections
import csv
import sys

import gateway
from zendesk_gateway import (
    organization_membership_service_pb2,
    organization_membership_service_pb2_grpc,
    organization_service_pb2,
    organization_service_pb2_grpc,
)


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with gateway.channel() as channel:
        stub = organization_service_pb2_grpc.OrganizationServiceStub(channel)
        request = organization_service_pb2.StreamOrganizationsRequest()
        organizations = list(gateway.rows(stub.StreamOrganizations, request, "organizations"))
        memberships = organization_membership_service_pb2_grpc.OrganizationMembershipServiceStub(channel)
        request = organization_membership_service_pb2.StreamOrganizationMembershipsRequest()
        places = gateway.rows(memberships.StreamOrganizationMemberships, request, "organization_memberships")
        users = collections.Counter(membership.organization_id for membership in places)
    output = csv.writer(sys.stdout)
    output.writerow(["id", "name", "users"])
    for organization in sorted(organizations, key=lambda organization: organization.id):
        output.writerow([organization.id, organization.name, users[organization.id]])


gateway.run(main)
