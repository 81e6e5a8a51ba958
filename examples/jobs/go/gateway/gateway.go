// Package gateway is what the jobs share: the connection, the reading of errors, and streams that go on where they broke.
package gateway

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Connect returns a connection to $GATEWAY_ADDRESS.
func Connect() (*grpc.ClientConn, error) {
	address := os.Getenv("GATEWAY_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
}

// Passes says whether an error may be gone the next time. A write that ends so may have been done, which only repeating a read does
// not mind.
func Passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted:
		return Reason(err) != "REQUEST_TOO_LARGE"
	}
	return false
}

// Reason returns the reason of an error, such as NOT_FOUND, or nothing if it is not the gateway's.
func Reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is {
			return info.Reason
		}
	}
	return ""
}

// Pause waits as long as an error asks to, or a second.
func Pause(err error) {
	wait := time.Second
	for _, detail := range status.Convert(err).Details() {
		if retry, is := detail.(*errdetails.RetryInfo); is {
			wait = retry.RetryDelay.AsDuration()
		}
	}
	time.Sleep(wait)
}

// Message is what a stream of rows sends.
type Message[M any] interface {
	*M
	GetNextPageToken() string
	GetUnreadableRows() int32
}

// Pages hands over the messages of each page of a list once they are complete, which is when a token has come after them: what came
// after the last token comes again if the stream breaks.
func Pages[M any, P Message[M]](open func(ctx context.Context, token string) (grpc.ServerStreamingClient[M], error), page func(P)) error {
	token := ""
	for tries := 1; ; tries++ {
		next, err := pages(open, token, page)
		if next != token {
			token, tries = next, 0
		}
		switch {
		case err == nil:
			return nil
		case !Passes(err) || tries == 5:
			return err
		}
		Pause(err)
	}
}

// pages goes on from a token and returns the last one that came.
func pages[M any, P Message[M]](
	open func(ctx context.Context, token string) (grpc.ServerStreamingClient[M], error), token string, page func(P),
) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	stream, err := open(ctx, token)
	if err != nil {
		return token, err
	}
	var messages []P
	more := false
	for {
		message, err := stream.Recv()
		if err == io.EOF && more {
			return token, status.Error(codes.Unavailable, "the gateway is shutting down")
		}
		if err != nil && err != io.EOF {
			return token, err
		}
		if err == nil {
			messages = append(messages, message)
			more = P(message).GetNextPageToken() != ""
		}
		if err == io.EOF || more {
			for _, message := range messages {
				page(message)
				if missing := P(message).GetUnreadableRows(); missing > 0 {
					fmt.Fprintf(os.Stderr, "%d rows of Zendesk's cannot be read, and are missing here\n", missing)
				}
			}
			messages = nil
		}
		if err == io.EOF {
			return token, nil
		}
		if more {
			token = P(message).GetNextPageToken()
		}
	}
}
