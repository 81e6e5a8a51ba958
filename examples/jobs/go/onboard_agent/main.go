// Makes somebody an agent of some groups, the first of which is the default: go run ./onboard_agent EMAIL NAME GROUP...
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"

	"jobs/gateway"
	pb "jobs/gen/zendesk/gateway/v1"
)

func main() {
	email, name, wanted := os.Args[1], os.Args[2], os.Args[3:]
	connection, err := gateway.Connect()
	must(err)
	defer connection.Close()

	groups := pb.NewGroupServiceClient(connection)
	ids, names := map[string]int64{}, map[int64]string{}
	must(gateway.Pages(func(ctx context.Context, token string) (grpc.ServerStreamingClient[pb.StreamGroupsResponse], error) {
		return groups.StreamGroups(ctx, &pb.StreamGroupsRequest{PageToken: token})
	}, func(page *pb.StreamGroupsResponse) {
		for _, group := range page.Groups {
			ids[group.GetName()], names[group.Id] = group.Id, group.GetName()
		}
	}))
	request := &pb.SetUserGroupsRequest{ValidateOnly: true}
	for _, group := range wanted {
		id, known := ids[group]
		if !known {
			log.Fatalf("no such group: %s; there are %v", group, ids)
		}
		request.GroupIds = append(request.GroupIds, id)
	}
	request.DefaultGroupId = &request.GroupIds[0]

	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	agent := &pb.UserInput{Email: &email, Name: &name, Role: pb.UserRole_USER_ROLE_AGENT.Enum()}
	created, err := pb.NewUserServiceClient(connection).CreateOrUpdateUser(ctx, &pb.CreateOrUpdateUserRequest{User: agent})
	must(err)
	request.UserId = created.User.Id
	fmt.Println(name, "is user", request.UserId)

	memberships := pb.NewMembershipServiceClient(connection)
	planned, err := memberships.SetUserGroups(ctx, request)
	must(err)
	for _, id := range planned.Plan.Adds {
		fmt.Println("joins", names[id])
	}
	for _, id := range planned.Plan.Removes {
		fmt.Println("leaves", names[id])
	}
	request.ValidateOnly = false
	reply, err := memberships.SetUserGroups(ctx, request)
	must(err)
	for _, membership := range reply.GroupMemberships {
		fmt.Println("is in", names[membership.GetGroupId()])
	}
	for _, failure := range reply.Failures {
		fmt.Println("failed:", names[failure.Id], failure.GetError(), failure.GetDetails())
	}
	if len(reply.Failures) > 0 {
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(gateway.Reason(err), " ", err)
	}
}
