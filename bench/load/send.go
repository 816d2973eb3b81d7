package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// sender sends one message for a caller and tells how long the reply was.
type sender func(ctx context.Context, caller int, message []byte) (replyBytes int, err error)

func senderTo(given options) (sender, error) {
	if given.path != "" {
		return httpSender("http://" + given.address + given.path), nil
	}
	if given.database != "" {
		user, database, _ := strings.Cut(given.database, "@")
		return postgresSender(given.address, user, database), nil
	}
	return grpcSender(given)
}

func grpcSender(given options) (sender, error) {
	number := given.connections
	if given.rate == 0 {
		number = max(1, min(number, given.concurrency))
	}
	connections := make([]*grpc.ClientConn, number)
	for i := range connections {
		connection, err := grpc.NewClient(
			given.address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})),
		)
		if err != nil {
			return nil, err
		}
		connections[i] = connection
	}
	return func(ctx context.Context, caller int, message []byte) (int, error) {
		var reply []byte
		err := connections[caller%number].Invoke(ctx, given.method, &message, &reply)
		return len(reply), err
	}, nil
}

func httpSender(url string) sender {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}
	return func(ctx context.Context, _ int, message []byte) (int, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(message))
		if err != nil {
			return 0, err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		reply, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %.200s", response.Status, reply)
		}
		return len(reply), err
	}
}

// rawCodec passes messages through as they are.
type rawCodec struct{}

func (rawCodec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = data
	return nil
}

func (rawCodec) Name() string { return "proto" }
