// A call, an error with details, an update with a mask, and a stream that is resumed.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	pb "first-calls/gen/zendesk/gateway/v1"
)

func main() {
	connection, err := grpc.NewClient("127.0.0.1:50051", grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer connection.Close()
	users := pb.NewUserServiceClient(connection)

	// A call. Without a deadline it may take as long as the gateway allows.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	page, err := users.ListUsers(ctx, &pb.ListUsersRequest{PageSize: 2})
	must(err)
	user := page.Users[1]
	fmt.Println("call:", user.GetName())

	// An error with details.
	_, err = users.ListUsers(ctx, &pb.ListUsersRequest{PageSize: 101})
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Println("error:", status.Code(err), detail.Reason)
		case *errdetails.BadRequest:
			fmt.Println("error:", detail.FieldViolations[0].Field)
		}
	}

	// An update of one custom field, and of the notes, which are cleared: the mask names them, and they are not set.
	updated, err := users.UpdateUser(ctx, &pb.UpdateUserRequest{
		Id:         user.Id,
		User:       &pb.UserInput{UserFields: &structpb.Struct{Fields: map[string]*structpb.Value{"plan": structpb.NewStringValue("gold")}}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"user_fields.plan", "notes"}},
	})
	must(err)
	fmt.Printf("update: %v %q\n", updated.User.UserFields.AsMap()["plan"], updated.User.GetNotes())

	// A stream, until it has ended.
	var all walk
	for {
		err := all.walkOn(users)
		if err == nil {
			fmt.Println("stream:", len(all.rows), "agents")
			return
		}
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
			time.Sleep(retryAfter(err))
		default:
			log.Fatal(err)
		}
	}
}

type walk struct {
	rows  []*pb.User
	token string
}

// walkOn goes on from the last token. Rows count once a token has come after them: what came after the last token comes again.
func (w *walk) walkOn(users pb.UserServiceClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	agents := &pb.UserFilter{Roles: []pb.UserRole{pb.UserRole_USER_ROLE_AGENT}}
	stream, err := users.StreamUsers(ctx, &pb.StreamUsersRequest{Filter: agents, PageToken: w.token})
	if err != nil {
		return err
	}
	var page []*pb.User
	var last string
	for {
		message, err := stream.Recv()
		if err == io.EOF && last != "" {
			return status.Error(codes.Unavailable, "the gateway is shutting down")
		}
		if err == io.EOF {
			w.rows = append(w.rows, page...)
			return nil
		}
		if err != nil {
			return err
		}
		page, last = append(page, message.Users...), message.NextPageToken
		if last != "" {
			w.rows, w.token, page = append(w.rows, page...), last, nil
		}
	}
}

// retryAfter returns how long an error asks to wait.
func retryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, is := detail.(*errdetails.RetryInfo); is {
			return retry.RetryDelay.AsDuration()
		}
	}
	return 500 * time.Millisecond
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
