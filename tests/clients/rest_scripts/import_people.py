"""Sends a hundred at a time, and waits for each job before the next."""

import csv
import sys

from zendesk import Session, hundreds

with open(sys.argv[1], newline="", encoding="utf-8") as file:
    people = list(csv.DictReader(file))
zendesk, done = Session(), 0
for part in hundreds(people):
    job = zendesk.post("/users/create_or_update_many", {"users": part})["job_status"]
    done += sum("error" not in result for result in zendesk.finished(job))
print(done, "of", len(people), "people are in Zendesk")
