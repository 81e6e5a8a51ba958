"""Makes Zendesk hold the people of a CSV file as the file has them; external ids name them: python sync_people.py people.csv

Who is as in the file already is left alone. A changed address becomes the primary one; the old one stays as a second address, unless
--remove-old is given. The columns of the file are fields of UserInput.
"""

import argparse

import gateway
from zendesk_gateway import (
    identity_pb2,
    identity_service_pb2,
    identity_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)


def differs(person, user):
    """True if a user is not as the file says. What a user does not show, such as an organization's name, counts as changed."""
    for field, value in person.ListFields():
        if field.name in ("external_id", "email"):
            continue
        if field.name not in user.DESCRIPTOR.fields_by_name:
            return True
        present = getattr(user, field.name)
        if sorted(present) != sorted(value) if field.is_repeated else present != value:
            return True
    return False


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("people")
    arguments.add_argument("--remove-old", action="store_true", help="remove addresses that have changed")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be done")
    given = arguments.parse_args()
    with open(given.people, newline="", encoding="utf-8-sig") as file:
        people = gateway.table(file, user_pb2.UserInput)
    nameless = [number for number, person in enumerate(people, 1) if not person.external_id]
    if nameless:
        arguments.error(f"rows {nameless} have no external_id")
    with gateway.channel() as channel:
        users = user_service_pb2_grpc.UserServiceStub(channel)
        known = {}
        for part in gateway.parts([person.external_id for person in people], 1000):
            reply = gateway.read(users.BatchGetUsers, user_service_pb2.BatchGetUsersRequest(external_ids=part))
            known.update((user.external_id.casefold(), user) for user in reply.users)

        upserts, moves, unchanged = [], [], 0
        for person in people:
            user = known.get(person.external_id.casefold())
            moved = user is not None and person.HasField("email") and person.email.casefold() != user.email.casefold()
            if moved:
                moves.append((person, user))
            if user is None or differs(person, user):
                upsert = user_pb2.UserInput()
                upsert.CopyFrom(person)
                if user is not None:
                    upsert.ClearField("email")  # an update would add it, and leave the primary one
                upserts.append(upsert)
            elif not moved:
                unchanged += 1
        if given.dry_run:
            for person in upserts:
                print(person.external_id, "would be", "updated" if person.external_id.casefold() in known else "created")
            for person, user in moves:
                print(person.external_id, user.email, "would become", person.email)
            print(unchanged, "of", len(people), "are as they should be")
            return 0

        failures, done = gateway.Failures(), unchanged
        moving = {person.external_id for person, _ in moves}
        failed = set()
        request = lambda part: user_service_pb2.BulkCreateOrUpdateUsersRequest(users=part, wait=True)
        for person, result, outcome in gateway.bulk(channel, users.BulkCreateOrUpdateUsers, request, upserts):
            if result in ("CREATED", "UPDATED"):
                print(person.external_id, result)
                done += person.external_id not in moving
            else:
                failed.add(person.external_id)
                failures.add(person.external_id, outcome.error or result, outcome.details)
        identities = identity_service_pb2_grpc.UserIdentityServiceStub(channel)
        for person, user in moves:
            request = identity_service_pb2.ChangeUserEmailRequest(user_id=user.id, email=person.email, verified=True)
            if given.remove_old:
                request.old = identity_pb2.OLD_EMAIL_REMOVE
                if user.email:
                    request.old_email = user.email  # so that the call may be repeated
            reply = failures.attempt(person.external_id, identities.ChangeUserEmail, request)
            if reply is None:
                continue
            for failure in reply.failures:
                step = identity_pb2.EmailStep.Name(failure.step).removeprefix("EMAIL_STEP_")
                failures.add(person.external_id, failure.error, f"{step}: {failure.details}")
            if not reply.failures:
                print(person.external_id, user.email or "no address", "became", person.email)
                done += person.external_id not in failed
    print(done, "of", len(people), "people are in Zendesk")
    return failures.end()


gateway.run(main)
