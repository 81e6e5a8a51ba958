// A client with google.golang.org/grpc and the documented service config; ../../retries.py says what it reads and prints.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// raw sends and receives messages as they are.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error)       { return *message.(*[]byte), nil }
func (raw) Unmarshal(bytes []byte, message any) error { *message.(*[]byte) = bytes; return nil }
func (raw) Name() string                              { return "proto" }

func main() {
	config, err := os.ReadFile(os.Args[2])
	must(err)
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config)), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.WaitForReady(true)))
	must(err)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		path, text, _ := strings.Cut(lines.Text(), " ")
		request, err := hex.DecodeString(text)
		must(err)
		var reply []byte
		fmt.Println(status.Code(connection.Invoke(context.Background(), path, &request, &reply)))
	}
	must(lines.Err())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
