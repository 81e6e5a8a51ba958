// Creates or updates the people of a CSV file, whom external ids name: go run ./sync_people people.csv
package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"jobs/gateway"
	pb "jobs/gen/zendesk/gateway/v1"
)

// Of 10,000 that one call takes, so that a call ends well within its deadline.
const atOnce = 1000

func main() {
	people, err := read(os.Args[1])
	must(err)
	connection, err := gateway.Connect()
	must(err)
	defer connection.Close()
	failed := 0
	for at := 0; at < len(people); at += atOnce {
		part, err := sync(pb.NewUserServiceClient(connection), pb.NewJobServiceClient(connection), people[at:min(at+atOnce, len(people))])
		must(err)
		failed += part
	}
	fmt.Println(len(people)-failed, "of", len(people), "people are in Zendesk")
	if failed > 0 {
		os.Exit(1)
	}
}

// read reads a table whose heading names its columns: external_id, name, email. An empty cell says nothing.
func read(path string) ([]*pb.UserInput, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	var people []*pb.UserInput
	for _, line := range lines[1:] {
		person := &pb.UserInput{}
		columns := map[string]**string{"external_id": &person.ExternalId, "name": &person.Name, "email": &person.Email}
		for at, name := range lines[0] {
			column, known := columns[name]
			if !known {
				return nil, fmt.Errorf("the column %q is none of external_id, name and email", name)
			}
			if line[at] != "" {
				*column = &line[at]
			}
		}
		people = append(people, person)
	}
	return people, nil
}

// sync returns how many failed. Whoever is left open is sent again: an upsert by external id may be repeated.
func sync(users pb.UserServiceClient, jobs pb.JobServiceClient, people []*pb.UserInput) (int, error) {
	failed := 0
	for tries := 0; tries < 5 && len(people) > 0; tries++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		reply, err := users.BulkCreateOrUpdateUsers(ctx, &pb.BulkCreateOrUpdateUsersRequest{Users: people, Wait: true})
		cancel()
		if err != nil && !gateway.Passes(err) {
			return 0, err
		}
		if err != nil {
			gateway.Pause(err)
			continue
		}
		var left []*pb.UserInput
		open := map[string]bool{}
		for _, outcome := range reply.Outcomes {
			person, result := people[outcome.Index], strings.TrimPrefix(outcome.Result.String(), "BULK_RESULT_")
			switch outcome.Result {
			case pb.BulkResult_BULK_RESULT_CREATED, pb.BulkResult_BULK_RESULT_UPDATED:
				fmt.Println(person.GetExternalId(), result)
			case pb.BulkResult_BULK_RESULT_FAILED:
				failed++
				fmt.Println(person.GetExternalId(), result, outcome.GetError(), outcome.GetDetails())
			case pb.BulkResult_BULK_RESULT_PENDING:
				open[outcome.GetJobId()] = true
				fallthrough
			default: // UNKNOWN or NOT_SENT
				left = append(left, person)
			}
		}
		if err := wait(jobs, open); err != nil {
			return 0, err
		}
		people = left
	}
	return failed + len(people), nil
}

// wait waits until these jobs have ended.
func wait(jobs pb.JobServiceClient, ids map[string]bool) error {
	if len(ids) == 0 {
		return nil
	}
	request := &pb.WatchJobsRequest{}
	for id := range ids {
		request.Ids = append(request.Ids, id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	stream, err := jobs.WatchJobs(ctx, request)
	for err == nil {
		_, err = stream.Recv()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func must(err error) {
	if err != nil {
		log.Fatal(gateway.Reason(err), " ", err)
	}
}
