"""Finds users by their e-mail addresses, and writes them as CSV: python find_users.py addresses.txt > found.csv

The file has an address in each line. Zendesk's search finds a user some minutes after it was created or changed.
"""

import argparse
import csv
import sys

import gateway
from zendesk_gateway import user_pb2, user_service_pb2, user_service_pb2_grpc

AT_ONCE = 25  # addresses in one search: a search is part of a URL


def search(users, addresses):
    """Returns the users with any of these addresses. Of several values for one property Zendesk wants one."""
    query = user_pb2.UserSearchFilter(query=" ".join(f'email:"{address}"' for address in addresses))
    return gateway.read(users.SearchUsers, user_service_pb2.SearchUsersRequest(filter=query)).users


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("addresses")
    addresses = gateway.lines(arguments.parse_args().addresses)
    with gateway.channel() as channel:
        users, found = user_service_pb2_grpc.UserServiceStub(channel), {}
        for part in gateway.parts(addresses, AT_ONCE):
            found.update((user.email.casefold(), user) for user in search(users, part))
        for address in addresses:
            if address.casefold() not in found:  # it may be somebody's second address, which the user found does not show
                found[address.casefold()] = next(iter(search(users, [address])), None)
    output, missing = csv.writer(sys.stdout), 0
    output.writerow(["address", "id", "name", "role", "external_id"])
    for address in addresses:
        user = found[address.casefold()]
        if user is None:
            missing += 1
            output.writerow([address, "", "", "", ""])
        else:
            role = user_pb2.UserRole.Name(user.role).removeprefix("USER_ROLE_").lower().replace("_", "-")
            output.writerow([address, user.id, user.name, role, user.external_id])
    print(len(addresses) - missing, "of", len(addresses), "addresses are found", file=sys.stderr)
    return 1 if missing else 0


gateway.run(main)
