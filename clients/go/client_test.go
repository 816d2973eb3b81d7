package akin_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// fake is a server whose calls are the test's functions.
type fake struct {
	akinv1.UnimplementedRecommenderServiceServer
	get        func(context.Context) error
	importWith func(grpc.BidiStreamingServer[akinv1.ImportItemsRequest, akinv1.ImportItemsResponse]) error
}

func (f fake) GetItem(ctx context.Context, _ *akinv1.GetItemRequest) (*akinv1.GetItemResponse, error) {
	return &akinv1.GetItemResponse{}, f.get(ctx)
}

func (f fake) ImportItems(
	stream grpc.BidiStreamingServer[akinv1.ImportItemsRequest, akinv1.ImportItemsResponse],
) error {
	return f.importWith(stream)
}

func dialFake(t *testing.T, behaviour fake, opts ...akin.Option) *akin.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	akinv1.RegisterRecommenderServiceServer(server, behaviour)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return dial(t, listener.Addr().String(), opts...)
}

func dial(t *testing.T, address string, opts ...akin.Option) *akin.Client {
	t.Helper()
	client, err := akin.Dial(address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestACallCarriesKeyAndDeadline(t *testing.T) {
	var key []string
	var left time.Duration
	client := dialFake(t, fake{get: func(ctx context.Context) error {
		arrived, _ := metadata.FromIncomingContext(ctx)
		key = arrived.Get("authorization")
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}}, akin.WithAPIKey("secret"))
	if _, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{}); err != nil {
		t.Fatal(err)
	}
	if strings.Join(key, ",") != "Bearer secret" {
		t.Errorf("the key came as %q", key)
	}
	if left <= 0 || left > akin.DefaultTimeout {
		t.Errorf("the deadline is in %v", left)
	}
}

func TestErrorsComeDecoded(t *testing.T) {
	refused := invalid(t)
	client := dialFake(t, fake{get: func(context.Context) error { return refused }})
	_, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{})
	var decoded *akin.Error
	if !errors.As(err, &decoded) || decoded.Reason != "INVALID_REQUEST" {
		t.Errorf("got %v", err)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("the code is %v", status.Code(err))
	}
}

func TestUnavailableIsTriedAgain(t *testing.T) {
	calls := 0
	client := dialFake(t, fake{get: func(context.Context) error {
		calls++
		if calls == 1 {
			return status.Error(codes.Unavailable, "starting")
		}
		return nil
	}})
	if _, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{}); err != nil {
		t.Fatal(err)
	}
	if calls != 2 {
		t.Errorf("%d calls came", calls)
	}
}

func TestTheDefaultDeadlineCanBeSet(t *testing.T) {
	client := dialFake(t, fake{get: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}, akin.WithTimeout(50*time.Millisecond))
	_, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func TestAKeyGoesInTheClearOnlyOnThisMachine(t *testing.T) {
	refused := []string{"akin.example:50051", "dns:///akin.example", "localhost.example:1", "10.0.0.1:1"}
	for _, address := range refused {
		if _, err := akin.Dial(address, akin.WithAPIKey("secret")); err == nil {
			t.Errorf("%s is sent the key", address)
		}
		dial(t, address, akin.WithAPIKey("secret"), akin.WithTLS(nil))
		dial(t, address, akin.WithAPIKey(""))
	}
	for _, address := range []string{"localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1"} {
		dial(t, address, akin.WithAPIKey("secret"))
	}
}

func TestBadTLSFilesAreRefused(t *testing.T) {
	for _, files := range [][3]string{
		{"no-such-file", "", ""}, {"README.md", "", ""}, {"", "only-a-certificate", ""},
	} {
		_, err := akin.Dial("localhost:1", akin.WithTLSFiles(files[0], files[1], files[2]))
		if err == nil {
			t.Errorf("%v is accepted", files)
		}
	}
}
