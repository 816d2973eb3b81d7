package akin_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// receivedID returns the request id that a call received; empty if it received none.
func receivedID(ctx context.Context) string {
	headers, _ := metadata.FromIncomingContext(ctx)
	if ids := headers.Get("x-request-id"); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// dialEcho returns a client of a server that returns the request id, the timing and the error.
func dialEcho(t *testing.T, timing string, failure error) *akin.Client {
	t.Helper()
	return dialRecommender(t, recommenderServer{
		get: func(ctx context.Context) error {
			grpc.SetTrailer(ctx, metadata.Pairs("x-request-id", receivedID(ctx), "server-timing", timing))
			return failure
		},
		importItems: func(stream itemStream) error {
			id := receivedID(stream.Context())
			stream.SetTrailer(metadata.Pairs("x-request-id", id, "server-timing", timing))
			for {
				if _, err := stream.Recv(); errors.Is(err, io.EOF) {
					return failure
				} else if err != nil {
					return err
				}
				if err := stream.Send(&akinv1.ImportItemsResponse{}); err != nil {
					return err
				}
			}
		},
	})
}

// A call sends its request id, and reads the id and the duration of each stage.
func TestCallInfo(t *testing.T) {
	client := dialEcho(t, "cache, embed;dur=1.500, proxy;desc=hit,total;dur=2", nil)
	info := akin.CallInfo{RequestID: "order-1017"}
	ctx := akin.WithCallInfo(t.Context(), &info)
	if _, err := client.Recommender.GetItem(ctx, &akinv1.GetItemRequest{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Duration{"embed": 1500 * time.Microsecond, "total": 2 * time.Millisecond}
	if info.RequestID != "order-1017" || !maps.Equal(info.ServerTiming, want) {
		t.Errorf("got %+v", info)
	}
}

// An import sends the request id of its context, and reads the trailing metadata at its end.
func TestCallInfoOfAnImport(t *testing.T) {
	client := dialEcho(t, "total;dur=3", nil)
	info := akin.CallInfo{RequestID: "import-1"}
	ctx := akin.WithCallInfo(t.Context(), &info)
	for _, err := range client.Import(ctx, slices.Values([]*akinv1.Item{{ItemId: "a"}})) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if info.RequestID != "import-1" || info.ServerTiming["total"] != 3*time.Millisecond {
		t.Errorf("got %+v", info)
	}
}

// The error of a call has its request id, with and without a CallInfo.
func TestErrorsHaveTheRequestID(t *testing.T) {
	client := dialEcho(t, "", status.Error(codes.NotFound, "no such item"))
	info := akin.CallInfo{RequestID: "lost-1"}
	ctx := akin.WithCallInfo(t.Context(), &info)
	_, err := client.Recommender.GetItem(ctx, &akinv1.GetItemRequest{})
	if failure, ok := akin.ErrorOf(err); !ok || failure.RequestID != "lost-1" || info.RequestID != "lost-1" {
		t.Errorf("got %v with %+v", err, info)
	}
	ctx = metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "own metadata")
	for _, err := range client.Import(ctx, slices.Values([]*akinv1.Item{})) {
		if failure, ok := akin.ErrorOf(err); !ok || failure.RequestID != "own metadata" {
			t.Errorf("got %v", err)
		}
	}
}

// A server of Akin makes an id for a call that has none, and measures its stages.
func TestCallInfoOfAServer(t *testing.T) {
	address := os.Getenv("AKIN_ADDRESS")
	if address == "" {
		t.Skip("AKIN_ADDRESS is not set")
	}
	client := dial(t, address)
	var info akin.CallInfo
	ctx := akin.WithCallInfo(t.Context(), &info)
	if _, err := client.Recommender.ListItems(ctx, &akinv1.ListItemsRequest{}); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile("^[0-9a-f]{16}$").MatchString(info.RequestID) {
		t.Errorf("the id is %q", info.RequestID)
	}
	if info.ServerTiming["total"] <= 0 {
		t.Errorf("the timing is %v", info.ServerTiming)
	}
}
