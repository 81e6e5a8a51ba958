// Writes all agents and admins with their groups as CSV: go run ./export_agents > agents.csv
package main

import (
	"context"
	"encoding/csv"
	"log"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	"jobs/gateway"
	pb "jobs/gen/zendesk/gateway/v1"
)

func main() {
	connection, err := gateway.Connect()
	must(err)
	defer connection.Close()

	groups := pb.NewGroupServiceClient(connection)
	names := map[int64]string{}
	must(gateway.Pages(func(ctx context.Context, token string) (grpc.ServerStreamingClient[pb.StreamGroupsResponse], error) {
		return groups.StreamGroups(ctx, &pb.StreamGroupsRequest{PageToken: token})
	}, func(page *pb.StreamGroupsResponse) {
		for _, group := range page.Groups {
			names[group.Id] = group.GetName()
		}
	}))

	memberships := pb.NewMembershipServiceClient(connection)
	groupsOf := map[int64][]string{}
	must(gateway.Pages(func(ctx context.Context, token string) (grpc.ServerStreamingClient[pb.StreamMembershipsResponse], error) {
		return memberships.StreamMemberships(ctx, &pb.StreamMembershipsRequest{PageToken: token})
	}, func(page *pb.StreamMembershipsResponse) {
		for _, membership := range page.GroupMemberships {
			name, known := names[membership.GetGroupId()]
			if !known { // it came into being after the list of groups was read
				name = strconv.FormatInt(membership.GetGroupId(), 10)
			}
			groupsOf[membership.GetUserId()] = append(groupsOf[membership.GetUserId()], name)
		}
	}))

	users := pb.NewUserServiceClient(connection)
	agents := &pb.UserFilter{Roles: []pb.UserRole{pb.UserRole_USER_ROLE_AGENT, pb.UserRole_USER_ROLE_ADMIN}}
	output := csv.NewWriter(os.Stdout)
	must(output.Write([]string{"id", "name", "email", "role", "groups"}))
	must(gateway.Pages(func(ctx context.Context, token string) (grpc.ServerStreamingClient[pb.StreamUsersResponse], error) {
		return users.StreamUsers(ctx, &pb.StreamUsersRequest{Filter: agents, PageToken: token})
	}, func(page *pb.StreamUsersResponse) {
		for _, user := range page.Users {
			role := strings.TrimPrefix(user.GetRole().String(), "USER_ROLE_")
			row := []string{strconv.FormatInt(user.Id, 10), user.GetName(), user.GetEmail(), role, strings.Join(groupsOf[user.Id], "; ")}
			must(output.Write(row))
		}
	}))
	output.Flush()
	must(output.Error())
}

func must(err error) {
	if err != nil {
		log.Fatal(gateway.Reason(err), " ", err)
	}
}
