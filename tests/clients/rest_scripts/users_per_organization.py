"""Reads the organizations, and asks for the number of users of each."""

import csv
import sys

from zendesk import Session

zendesk = Session()
output = csv.writer(sys.stdout)
output.writerow(["id", "name", "users"])
for organization in sorted(zendesk.all("/organizations", "organizations"), key=lambda organization: organization["id"]):
    count = zendesk.get(f"/organizations/{organization['id']}/users/count")["count"]
    output.writerow([organization["id"], organization["name"], count["value"]])
