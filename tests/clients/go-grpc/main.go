// Clients of the gateway as services in Go have them, with google.golang.org/grpc and dynamic messages; tests/it/well_behaved.rs
// says what they do, and well_behaved.py what is read and printed.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

type call struct {
	Service, Method string
	Request         json.RawMessage
	Seconds         int
	method          protoreflect.MethodDescriptor
	message         proto.Message
}

var plan struct {
	Address, Descriptors string
	Seconds              int
	AtATime              int `json:"at_a_time"`
	PauseMs              int `json:"pause_ms"`
	Clients              []struct {
		Key   string
		First int64
	}
	Watch call
	Calls []call
}

type failure struct {
	Method  string `json:"method"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Details string `json:"details"`
}

var result = struct {
	sync.Mutex
	Took     map[string][]float64 `json:"took"`
	Failures []failure            `json:"failures"`
}{Took: map[string][]float64{}, Failures: []failure{}}

// prepare builds the request once: what is looked at is the gateway.
func (c *call) prepare(files *protoregistry.Files) {
	found, err := files.FindDescriptorByName(protoreflect.FullName(c.Service))
	must(err)
	c.method = found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(c.Method))
	c.message = dynamicpb.NewMessage(c.method.Input())
	must(protojson.Unmarshal(c.Request, c.message))
}

func (c *call) stream(ctx context.Context, connection *grpc.ClientConn, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, c.path(), options...)
	if err != nil {
		return nil, err
	}
	// EOF means that the stream has ended; receiving says how.
	if err := stream.SendMsg(c.message); err != nil && err != io.EOF {
		return nil, err
	}
	return stream, stream.CloseSend()
}

func (c *call) path() string {
	return "/" + c.Service + "/" + c.Method
}

// next waits for a stream's next message.
func (c *call) next(stream grpc.ClientStream) error {
	return stream.RecvMsg(dynamicpb.NewMessage(c.method.Output()))
}

func (c *call) make(ctx context.Context, connection *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Seconds)*time.Second)
	defer cancel()
	if !c.method.IsStreamingServer() {
		return connection.Invoke(ctx, c.path(), c.message, dynamicpb.NewMessage(c.method.Output()))
	}
	stream, err := c.stream(ctx, connection)
	for err == nil {
		err = c.next(stream)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func (c *call) note(err error, took time.Duration) {
	result.Lock()
	defer result.Unlock()
	if err == nil {
		result.Took[c.Method] = append(result.Took[c.Method], took.Seconds()*1000)
		return
	}
	status := status.Convert(err)
	details, err := proto.Marshal(status.Proto())
	must(err)
	text := base64.StdEncoding.EncodeToString(details)
	result.Failures = append(result.Failures, failure{c.Method, status.Code().String(), status.Message(), text})
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	must(err)
	must(json.Unmarshal(text, &plan))
	bytes, err := os.ReadFile(plan.Descriptors)
	must(err)
	var set descriptorpb.FileDescriptorSet
	must(proto.Unmarshal(bytes, &set))
	files, err := protodesc.NewFiles(&set)
	must(err)
	plan.Watch.prepare(files)
	for at := range plan.Calls {
		plan.Calls[at].prepare(files)
	}

	begin := make(chan struct{})
	var over atomic.Bool
	var ready, workers sync.WaitGroup
	for _, client := range plan.Clients {
		connection, err := grpc.NewClient(plan.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
		must(err)
		ctx := context.Background()
		if client.Key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", client.Key)
		}
		ready.Add(1)
		go func() {
			stream, err := plan.Watch.stream(ctx, connection, grpc.WaitForReady(true))
			must(err)
			must(plan.Watch.next(stream))
			ready.Done()
			for err == nil {
				err = plan.Watch.next(stream)
			}
			if !over.Load() {
				plan.Watch.note(err, 0)
			}
		}()
		var turns atomic.Int64
		turns.Store(client.First)
		for range plan.AtATime {
			workers.Go(func() {
				<-begin
				until := time.Now().Add(time.Duration(plan.Seconds) * time.Second)
				for {
					time.Sleep(time.Duration(rand.Float64() * 2 * float64(plan.PauseMs) * float64(time.Millisecond)))
					if time.Now().After(until) {
						return
					}
					call, began := &plan.Calls[turns.Add(1)%int64(len(plan.Calls))], time.Now()
					err := call.make(ctx, connection)
					call.note(err, time.Since(began))
				}
			})
		}
	}
	ready.Wait()
	fmt.Println("ready")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	must(err)
	close(begin)
	workers.Wait()
	over.Store(true)
	result.Lock()
	must(json.NewEncoder(os.Stdout).Encode(&result))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
