"""Reads the people of the file a hundred at a time, and changes whoever differs; an address takes four requests."""

import csv
import sys

from zendesk import Session, hundreds

with open(sys.argv[1], newline="", encoding="utf-8") as file:
    people = list(csv.DictReader(file))
zendesk = Session()
known = {}
for part in hundreds(people):
    found = zendesk.get("/users/show_many", external_ids=",".join(person["external_id"] for person in part))
    known.update((user["external_id"].lower(), user) for user in found["users"])
for person in people:
    user = known.get(person["external_id"].lower())
    if user is None:
        zendesk.post("/users/create_or_update", {"user": person})
        continue
    changes = {name: value for name, value in person.items() if value and name != "email" and user[name] != value}
    if changes:
        zendesk.put(f"/users/{user['id']}", {"user": changes})
    if person["email"] and person["email"].lower() != (user["email"] or "").lower():
        # An update with an address would only add it.
        path = f"/users/{user['id']}/identities"
        old = [row for row in zendesk.get(path)["identities"] if row["type"] == "email" and row["primary"]]
        new = zendesk.post(path, {"identity": {"type": "email", "value": person["email"], "verified": True}})["identity"]
        if old:
            zendesk.put(f"{path}/{new['id']}/make_primary")
            zendesk.delete(f"{path}/{old[0]['id']}")
