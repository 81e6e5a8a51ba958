"""Searches for one address after the other."""

import csv
import sys

from zendesk import Session, lines

zendesk, missing = Session(), 0
output = csv.writer(sys.stdout)
output.writerow(["address", "id", "name", "role", "external_id"])
for address in lines(sys.argv[1]):
    found = zendesk.get("/users/search", query=f'email:"{address}"')["users"]
    if found:
        user = found[0]
        output.writerow([address, user["id"], user["name"], user["role"], user["external_id"]])
    else:
        missing += 1
        output.writerow([address, "", "", "", ""])
sys.exit(1 if missing else 0)
